; The frame of a random program in 64-bit mode: `nasm -f bin -o frame64.bin frame64.asm`. Every exception and interrupt, on a stack of its own,
; leads to the next of 256 slots of 16 bytes, which the test fills; registers and flags start from a table. After the last: isa-debug-exit.
bits 64
org 0x100000
%define SLOTS 0x101000
%define SLOT_COUNT 256
%define STACK 0x1ff000
start:
  mov rsp, STACK
  lea rdi, [rel idt]
  xor ecx, ecx
.gate:
  lea rax, [rel next]
  mov [rdi], ax
  mov word [rdi + 2], cs
  mov word [rdi + 4], 0x8e01      ; interrupt gate, IST1
  shr rax, 16
  mov [rdi + 6], ax
  shr rax, 16
  mov [rdi + 8], eax
  mov dword [rdi + 12], 0
  add rdi, 16
  inc ecx
  cmp ecx, 256
  jb .gate
  ; The entry state's TSS is at 0: RSP0 and IST1.
  mov qword [4], STACK
  mov qword [0x24], STACK
  lidt [rel idtr]
  mov rax, cr4
  or rax, 0x40600                 ; OSXSAVE OSXMMEXCPT OSFXSR
  mov cr4, rax
  mov rax, cr0
  and eax, ~0xc                   ; TS EM
  or eax, 2                       ; MP
  mov cr0, rax
  fninit
next:
  mov rsp, STACK
  mov eax, [rel slot]
  inc dword [rel slot]
  cmp eax, SLOT_COUNT
  jae done
  shl eax, 4
  lea r15, [rax + SLOTS]
  mov rax, [rel registers]
  mov rcx, [rel registers + 8]
  mov rdx, [rel registers + 16]
  mov rbx, [rel registers + 24]
  mov rbp, [rel registers + 32]
  mov rsi, [rel registers + 40]
  mov rdi, [rel registers + 48]
  mov r8, [rel registers + 56]
  mov r9, [rel registers + 64]
  push qword [rel rflags]
  popfq
  jmp r15
done:
  mov dx, 0xf4
  xor eax, eax
  out dx, al
  hlt
align 8
slot: dd 0
idtr: dw 0xfff
  dq idt
times 0x400 - ($ - $$) db 0
; At 400h, for the test to fill in:
paging: dq 0                      ; 32-bit frame only
rflags: dq 2
registers: times 9 dq 0
times 0x1000 - ($ - $$) db 0x90
  times 16 * SLOT_COUNT db 0x90
  times 16 db 0x90
  jmp done
align 4096
idt:
