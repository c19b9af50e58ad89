/* void set_paging(u64 cr3, u64 cr4): both below 4 GiB. CR4.LA57 can be changed outside IA-32e mode only: through 32-bit code without paging. */
    .text
    .globl set_paging
set_paging:
    /* What 32-bit code leaves of the upper halves is not defined. */
    push %rbx
    push %rbp
    push %r12
    push %r13
    push %r14
    push %r15
    sgdt saved_gdt
    lgdt mode_gdt
    push $0x18
    lea 1f(%rip), %rax
    push %rax
    lretq
    .code32
1:  mov %cr0, %eax
    and $0x7fffffff, %eax
    mov %eax, %cr0
    mov %esi, %cr4
    mov %edi, %cr3
    or $0x80000000, %eax
    mov %eax, %cr0
    ljmp $0x08, $2f
    .code64
2:  lgdt saved_gdt
    pop %r15
    pop %r14
    pop %r13
    pop %r12
    pop %rbp
    pop %rbx
    ret

    .data
    .align 8
gdt:
    .quad 0
    .quad 0x00af9b000000ffff            /* 64-bit code */
    .quad 0x00cf93000000ffff            /* data */
    .quad 0x00cf9b000000ffff            /* 32-bit code */
mode_gdt:
    .word mode_gdt - gdt - 1
    .quad gdt
saved_gdt:
    .word 0
    .quad 0
