/*
 * The boot sector of the disks that bios-disk.ts writes, for emulators that load no kernel themselves: it copies pieces of the disk to
 * where they belong, says so on COM1 (from there on the image is measured, not the BIOS), and enters the image.
 */
    .set BUFFER, 0x10000
    .set CHUNK, 64                          /* sectors a read: 32 KiB */
    .set COM1, 0x3f8
    .set LINUX_SETUP, 0x9000                /* segment of the real-mode kernel */
    .set LINUX_STACK, 0xe000

    .code16
    .globl start
start:
    ljmp $0, $1f
1:  xor %ax, %ax
    mov %ax, %ds
    mov %ax, %es
    mov %ax, %ss
    mov $start, %sp
    cld
    mov %dl, drive
    in $0x92, %al                           /* A20 */
    or $2, %al
    out %al, $0x92
    mov $pieces, %bx

next_chunk:
    mov 8(%bx), %eax                        /* sectors left */
    test %eax, %eax
    jz next_piece
    cmp $CHUNK, %eax
    jbe 1f
    mov $CHUNK, %eax
1:  mov %ax, packet_count
    mov 4(%bx), %ecx
    mov %ecx, packet_lba
    mov $0x42, %ah                          /* extended read */
    mov drive, %dl
    mov $packet, %si
    push %bx
    int $0x13
    pop %bx
    jc failed
    movzwl packet_count, %ecx
    mov (%bx), %edi
    sub %ecx, 8(%bx)
    add %ecx, 4(%bx)
    shl $9, %ecx
    add %ecx, (%bx)
    shr $2, %ecx
    mov $BUFFER, %esi
    cli
    lgdt gdtr
    mov %cr0, %eax                          /* protected mode and back, for the segment limits */
    or $1, %al
    mov %eax, %cr0
    mov $0x10, %dx
    mov %dx, %ds
    mov %dx, %es
    and $0xfe, %al
    mov %eax, %cr0
    addr32 rep movsl
    xor %ax, %ax
    mov %ax, %ds
    mov %ax, %es
    sti
    jmp next_chunk
next_piece:
    add $12, %bx
    cmpl $0, 8(%bx)
    jnz next_chunk

    mov $COM1 + 3, %dx                      /* line control: eight data bits */
    mov $3, %al
    out %al, %dx
    mov $message, %si
2:  mov $COM1 + 5, %dx                      /* line status: wait for "transmitter empty" */
    in %dx, %al
    test $0x20, %al
    jz 2b
    lodsb
    mov $COM1, %dx
    out %al, %dx
    cmp $'\n', %al
    jne 2b
    cli
    mov entry, %ebp
    test %ebp, %ebp
    jz linux
    lgdt gdtr
    mov %cr0, %eax
    or $1, %al
    mov %eax, %cr0
    ljmp $0x08, $protected

linux:
    mov $LINUX_SETUP, %ax
    mov %ax, %ds
    mov %ax, %es
    mov %ax, %fs
    mov %ax, %gs
    mov %ax, %ss
    mov $LINUX_STACK, %sp
    ljmp $LINUX_SETUP + 0x20, $0

failed:
    mov $0x0e46, %ax                        /* F */
    int $0x10
3:  hlt
    jmp 3b

    .code32
protected:
    mov $0x10, %eax
    mov %eax, %ds
    mov %eax, %es
    mov %eax, %ss
    mov $start, %esp
    mov start_info, %ebx
    jmp *%ebp

    .balign 8
gdt:
    .quad 0
    .quad 0x00cf9b000000ffff
    .quad 0x00cf93000000ffff
gdtr:
    .word gdtr - gdt - 1
    .long gdt
packet:
    .byte 16, 0
packet_count:
    .word 0
    .word 0, BUFFER / 16
packet_lba:
    .quad 0
drive:
    .byte 0
message:
    .ascii "bench: entering the image\n"

/* From here on bios-disk.ts fills in: a 32-bit entry point (0: Linux's real-mode set-up) with EBX, and pieces up to one of no sectors. */
    .org 400
entry:      .long 0
start_info: .long 0
pieces:     .fill 102, 1, 0                 /* address, first sector, sectors */
    .word 0xaa55
