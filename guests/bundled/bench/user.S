/* Code that runs at CPL 3, and what takes its calls. Counters are in RAX; RBX counts down. */
    .set USER_CODE, 0x23
    .set USER_DATA, 0x1b

    .text
    .globl enter_user, leave_user, syscall_entry, interrupt_entry, user_syscalls, user_interrupts

/* u64 enter_user(void (*program)(void), u64 count): runs the program at CPL 3 until it leaves; returns its RAX. */
enter_user:
    push %rbx
    push %rbp
    push %r12
    push %r13
    push %r14
    push %r15
    mov %rsp, kernel_rsp(%rip)
    mov %rsi, %rbx
    xor %eax, %eax
    push $USER_DATA
    lea user_stack_top(%rip), %rcx
    push %rcx
    push $2
    push $USER_CODE
    push %rdi
    iretq

/* Interrupt gate: back into enter_user's caller. */
leave_user:
    mov kernel_rsp(%rip), %rsp
    mov $0x10, %ecx
    mov %ecx, %ss
    pop %r15
    pop %r14
    pop %r13
    pop %r12
    pop %rbp
    pop %rbx
    ret

user_syscalls:
1:  syscall
    dec %rbx
    jnz 1b
    int $0x81

user_interrupts:
1:  int $0x80
    dec %rbx
    jnz 1b
    int $0x81

/* As a kernel does it: another stack, return address and flags saved. */
syscall_entry:
    mov %rsp, user_rsp(%rip)
    lea syscall_stack_top(%rip), %rsp
    push %rcx
    push %r11
    inc %rax
    pop %r11
    pop %rcx
    mov user_rsp(%rip), %rsp
    sysretq

interrupt_entry:
    inc %rax
    iretq

    .bss
    .align 16
kernel_rsp:         .skip 8
user_rsp:           .skip 8
                    .skip 1024
syscall_stack_top:
                    .skip 1024
user_stack_top:
