/* 256 interrupt stubs; each ends up in on_interrupt(struct frame *) and returns to where the frame says. */
    .altmacro
    .macro stub vector
    .align 16
    /* Vectors for which the processor pushes an error code: DF, TS, NP, SS, GP, PF, AC, CP. */
    .if (\vector == 8) || ((\vector >= 10) && (\vector <= 14)) || (\vector == 17) || (\vector == 21)
    .else
    push $0
    .endif
    push $\vector
    jmp interrupt
    .endm

    .text
    .globl interrupt_stubs
    .align 16
interrupt_stubs:
    .set n, 0
    .rept 256
    stub %n
    .set n, n + 1
    .endr

interrupt:
    push %rax
    push %rcx
    push %rdx
    push %rbx
    push %rbp
    push %rsi
    push %rdi
    push %r8
    push %r9
    push %r10
    push %r11
    push %r12
    push %r13
    push %r14
    push %r15
    cld
    mov %rsp, %rdi
    mov %rsp, %rbp
    and $-16, %rsp
    call on_interrupt
    mov %rbp, %rsp
    pop %r15
    pop %r14
    pop %r13
    pop %r12
    pop %r11
    pop %r10
    pop %r9
    pop %r8
    pop %rdi
    pop %rsi
    pop %rbp
    pop %rbx
    pop %rdx
    pop %rcx
    pop %rax
    add $16, %rsp
    iretq
