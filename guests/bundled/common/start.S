/*
 * Start-up: from the 32-bit PVH entry (EBX = start info) or the 64-bit one (RDI = start info) to main(start_info) in 64-bit mode,
 * with our own GDT, page tables that map the first 4 GiB one to one, a TSS and an IDT.
 */
    .set CR0_VALUE, 0x80010033          /* PG WP NE ET MP PE */
    .set CR4_VALUE, 0x620               /* OSXMMEXCPT OSFXSR PAE */
    .set EFER, 0xc0000080
    .set EFER_LME, 0x100
    .set LARGE_PAGE, 0x87               /* present, writable, user, 2 MiB */
    .set TABLE, 0x07

    .section .note.pvh, "a", @note
    .align 4
    .long 4, 8, 18                      /* name size, contents size, XEN_ELFNOTE_PHYS32_ENTRY */
    .asciz "Xen"
    .quad start32

    .section .text.start, "ax"
    .code32
    .globl start32
start32:
    cli
    cld
    mov %ebx, %esi
    /* PML4 -> PDPT -> four page directories of 2 MiB pages. There is no stack yet. */
    movl $pdpt + TABLE, pml4
    mov $pdpt, %edi
    mov $directories + TABLE, %eax
    mov $4, %ecx
1:  mov %eax, (%edi)
    movl $0, 4(%edi)
    add $4096, %eax
    add $8, %edi
    loop 1b
    mov $directories, %edi
    mov $LARGE_PAGE, %eax
    mov $2048, %ecx
1:  mov %eax, (%edi)
    movl $0, 4(%edi)
    add $0x200000, %eax
    add $8, %edi
    loop 1b
    mov $CR4_VALUE, %eax
    mov %eax, %cr4
    mov $pml4, %eax
    mov %eax, %cr3
    mov $EFER, %ecx
    rdmsr
    or $EFER_LME, %eax
    wrmsr
    mov $CR0_VALUE, %eax
    mov %eax, %cr0
    lgdt gdtr
    ljmp $0x08, $start_common

    .code64
    .globl start64
start64:
    cli
    cld
    mov %rdi, %rsi
    lgdt gdtr
    lea stack_top(%rip), %rsp
    push $0x08
    lea 1f(%rip), %rax
    push %rax
    lretq
1:  movq $pdpt + TABLE, pml4
    mov $pdpt, %edi
    mov $directories + TABLE, %eax
    mov $4, %ecx
2:  mov %rax, (%rdi)
    add $4096, %rax
    add $8, %rdi
    loop 2b
    mov $LARGE_PAGE, %eax
    mov $directories, %edi
    mov $2048, %ecx
2:  mov %rax, (%rdi)
    add $0x200000, %rax
    add $8, %rdi
    loop 2b
    mov $CR4_VALUE, %eax
    mov %rax, %cr4
    mov $pml4, %eax
    mov %rax, %cr3
    mov $CR0_VALUE, %eax
    mov %rax, %cr0

start_common:
    mov $0x10, %eax
    mov %eax, %ds
    mov %eax, %es
    mov %eax, %ss
    xor %eax, %eax
    mov %eax, %fs
    mov %eax, %gs
    mov $stack_top, %rsp
    mov %esi, %ebx

    /* The base of the TSS descriptor, then TR. */
    mov $tss, %eax
    mov %ax, gdt_tss + 2
    shr $16, %eax
    mov %al, gdt_tss + 4
    mov %ah, gdt_tss + 7
    movq $interrupt_stack_top, tss + 4
    mov $0x28, %eax
    ltr %ax

    call load_idt
    mov %rbx, %rdi
    call main
    call power_off
1:  cli
    hlt
    jmp 1b

/* SYSCALL takes CS 08h and SS 10h; SYSRET takes SS 1Bh and CS 23h (STAR[63:48] = 10h). */
    .data
    .align 16
gdt:
    .quad 0
    .quad 0x00af9b000000ffff            /* 08h code, CPL 0 */
    .quad 0x00cf93000000ffff            /* 10h data, CPL 0 */
    .quad 0x00cff3000000ffff            /* 18h data, CPL 3 */
    .quad 0x00affb000000ffff            /* 20h code, CPL 3 */
gdt_tss:
    .quad 0x0000890000000067            /* 28h TSS, base filled in above */
    .quad 0
gdtr:
    .word gdtr - gdt - 1
    .quad gdt

    .bss
    .globl pml4, tss
    .align 4096
pml4:               .skip 4096
pdpt:               .skip 4096
directories:        .skip 4 * 4096
                    .skip 16384
stack_top:
                    .skip 8192
interrupt_stack_top:
tss:                .skip 104
