; CPUID, which exits, in the last two bytes of the lower half of the address space: RIP behind it is not canonical, and fetching there is #GP.
; nasm -f bin -o lower-half-end.bin lower-half-end.asm
bits 64
org 0x100000
TABLES equ 0x200000
  mov esp, 0x2000000
  mov edi, TABLES
  mov ecx, 0x4000 / 8
  xor eax, eax
  rep stosq
  mov rax, cr3
  mov qword [rax + 255 * 8], TABLES + 3
  mov qword [abs TABLES + 511 * 8], TABLES + 0x1003
  mov qword [abs TABLES + 0x1000 + 511 * 8], TABLES + 0x2003
  mov qword [abs TABLES + 0x2000 + 511 * 8], TABLES + 0x3003
  mov word [abs TABLES + 0x3ffe], 0xa20f
  mov ax, cs
  mov [gate + 2], ax
  lidt [idtr]
  mov rsi, 0x7ffffffffffe
  xor eax, eax
  jmp rsi
handler:
  mov rsi, [rsp + 8]
  mov rdi, [rsp]
  mov dx, 0xf4
  out dx, al
  hlt
align 16
idt:
  times 13 dq 0, 0
gate:
  dw handler - $$, 0
  dw 0x8e00, 0x10
  dq 0
idtr:
  dw 14 * 16 - 1
  dq idt
