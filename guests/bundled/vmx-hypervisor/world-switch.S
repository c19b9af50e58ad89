/* Into the guest and back: RIP, RSP, RFLAGS, segments, control registers and tables move with entry and exit; the rest is ours to move. */
    .set HOST_RSP, 0x6c14

/* int world_switch(struct registers *guest, int launched): 0 after an exit, else 1 (VMfailInvalid) or 2 (VMfailValid). */
    .text
    .globl world_switch, vm_exit
world_switch:
    push %rbx
    push %rbp
    push %r12
    push %r13
    push %r14
    push %r15
    push %rdi
    mov $HOST_RSP, %eax
    vmwrite %rsp, %rax
    test %esi, %esi
    mov 8(%rdi), %rcx
    mov 16(%rdi), %rdx
    mov 24(%rdi), %rbx
    mov 32(%rdi), %rbp
    mov 40(%rdi), %rsi
    mov 56(%rdi), %r8
    mov 64(%rdi), %r9
    mov 72(%rdi), %r10
    mov 80(%rdi), %r11
    mov 88(%rdi), %r12
    mov 96(%rdi), %r13
    mov 104(%rdi), %r14
    mov 112(%rdi), %r15
    mov 0(%rdi), %rax
    mov 48(%rdi), %rdi
    jnz 1f
    vmlaunch
    jmp 2f
1:  vmresume
2:  setz %al
    movzx %al, %eax
    inc %eax
    pop %rdi
    jmp restore

vm_exit:
    xchg %rdi, (%rsp)
    mov %rax, 0(%rdi)
    mov %rcx, 8(%rdi)
    mov %rdx, 16(%rdi)
    mov %rbx, 24(%rdi)
    mov %rbp, 32(%rdi)
    mov %rsi, 40(%rdi)
    mov %r8, 56(%rdi)
    mov %r9, 64(%rdi)
    mov %r10, 72(%rdi)
    mov %r11, 80(%rdi)
    mov %r12, 88(%rdi)
    mov %r13, 96(%rdi)
    mov %r14, 104(%rdi)
    mov %r15, 112(%rdi)
    pop %rax
    mov %rax, 48(%rdi)
    xor %eax, %eax
restore:
    pop %r15
    pop %r14
    pop %r13
    pop %r12
    pop %rbp
    pop %rbx
    ret

/* Handlers for vectors 0 to 63 in the guest: VMCALL, then return. Vectors with an error code have it above the return address. */
    .globl guest_handlers, guest_handlers_end
    .balign 16
guest_handlers:
    .set n, 0
    .rept 64
    .balign 16
    vmcall
    .if (n == 8) || ((n >= 10) && (n <= 14)) || (n == 17) || (n == 21)
    add $8, %rsp
    .endif
    iretq
    .set n, n + 1
    .endr
    .balign 16
guest_handlers_end:
