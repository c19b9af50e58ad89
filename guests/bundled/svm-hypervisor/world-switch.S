/*
 * Into the guest and back. VMRUN moves RAX, RSP, RIP, RFLAGS, CS, SS, DS, ES, the tables' registers and control registers; VMLOAD and
 * VMSAVE move FS, GS, TR, LDTR and the system call MSRs; the rest is ours to move.
 */
    .macro load_guest
    push %rbx
    push %rbp
    push %r12
    push %r13
    push %r14
    push %r15
    push %rsi
    mov %rdi, %rax
    mov 0(%rsi), %rcx
    mov 8(%rsi), %rdx
    mov 16(%rsi), %rbx
    mov 24(%rsi), %rbp
    mov 40(%rsi), %rdi
    mov 48(%rsi), %r8
    mov 56(%rsi), %r9
    mov 64(%rsi), %r10
    mov 72(%rsi), %r11
    mov 80(%rsi), %r12
    mov 88(%rsi), %r13
    mov 96(%rsi), %r14
    mov 104(%rsi), %r15
    mov 32(%rsi), %rsi
    .endm

    .macro save_guest
    xchg %rsi, (%rsp)
    mov %rcx, 0(%rsi)
    mov %rdx, 8(%rsi)
    mov %rbx, 16(%rsi)
    mov %rbp, 24(%rsi)
    mov %rdi, 40(%rsi)
    mov %r8, 48(%rsi)
    mov %r9, 56(%rsi)
    mov %r10, 64(%rsi)
    mov %r11, 72(%rsi)
    mov %r12, 80(%rsi)
    mov %r13, 88(%rsi)
    mov %r14, 96(%rsi)
    mov %r15, 104(%rsi)
    pop %rax
    mov %rax, 32(%rsi)
    pop %r15
    pop %r14
    pop %r13
    pop %r12
    pop %rbp
    pop %rbx
    ret
    .endm

    .text
    .globl world_switch
world_switch:
    load_guest
    vmload %rax
    vmrun %rax
    vmsave %rax
    save_guest

    .globl bare_switch
bare_switch:
    load_guest
    vmrun %rax
    save_guest

/* Vectors with an error code have it above the return address. */
    .globl guest_handlers, guest_handlers_end
    .balign 16
guest_handlers:
    .set n, 0
    .rept 64
    .balign 16
    vmmcall
    .if (n == 8) || ((n >= 10) && (n <= 14)) || (n == 17) || (n == 21)
    add $8, %rsp
    .endif
    iretq
    .set n, n + 1
    .endr
    .balign 16
guest_handlers_end:
