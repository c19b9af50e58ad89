/*
 * The boot sector of a disk that starts one of the bundled guests under a BIOS: it reads the image that make-bios-disk.ts put behind it,
 * copies it to where it is linked, and enters it in 32-bit protected mode with EBX = 0 (no PVH start information).
 */
    .set BUFFER, 0x10000
    .set CHUNK, 0x40                        /* sectors a read: 32 KiB */

    .code16
    .globl start
start:
    ljmp $0, $1f
1:  xor %ax, %ax
    mov %ax, %ds
    mov %ax, %es
    mov %ax, %ss
    mov $0x7c00, %sp
    mov %dl, drive
    mov sectors, %cx
2:  push %cx
    mov $CHUNK, %ax
    cmp %ax, %cx
    jae 3f
    mov %cx, %ax
3:  mov %ax, packet_count
    mov $0x42, %ah
    mov drive, %dl
    mov $packet, %si
    int $0x13
    jc failed
    pop %cx
    mov packet_count, %ax
    add %ax, packet_lba
    addw $CHUNK * 512 / 16, packet_segment
    sub %ax, %cx
    jnz 2b
    in $0x92, %al
    or $2, %al
    out %al, $0x92
    cli
    lgdt gdtr
    mov %cr0, %eax
    or $1, %al
    mov %eax, %cr0
    ljmp $0x08, $protected

failed:
    mov $0x0e46, %ax                        /* F */
    int $0x10
4:  hlt
    jmp 4b

    .code32
protected:
    mov $0x10, %eax
    mov %eax, %ds
    mov %eax, %es
    mov %eax, %ss
    mov $0x7c00, %esp
    cld
    mov $BUFFER, %esi
    mov load_address, %edi
    mov file_size, %ecx
    rep movsb
    mov zero_size, %ecx
    xor %eax, %eax
    rep stosb
    xor %ebx, %ebx
    jmp *entry

    .balign 4
packet:
    .byte 16, 0
packet_count:
    .word 0
    .word 0
packet_segment:
    .word BUFFER / 16
packet_lba:
    .quad 1
    .balign 8
gdt:
    .quad 0
    .quad 0x00cf9b000000ffff
    .quad 0x00cf93000000ffff
gdtr:
    .word gdtr - gdt - 1
    .long gdt
drive:
    .byte 0

/* Filled in by make-bios-disk.ts. */
    .org 492
load_address: .long 0
file_size:    .long 0
zero_size:    .long 0
entry:        .long 0
sectors:      .word 0
    .word 0xaa55
