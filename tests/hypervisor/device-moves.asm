; MOV between registers and a device (the HPET: main counter halted, timer 0's comparator and route), in every form.
; nasm -f bin -o device-moves.bin device-moves.asm
bits 64
org 0x100000
HPET equ 0xfed00000
  mov ebx, HPET
  mov r12d, HPET
  xor edi, edi
  mov eax, 0x11223344
  mov [rbx + 0xf0], eax            ; counter, low half
  mov rsi, 0x8899aabbccddeeff
  mov [r12 + 0xf0], rsi            ; both halves
  mov rcx, [rbx + 0xf0]            ; 64 bits
  mov r9, [r12 + rdi*8 + 0xf0]
  mov edx, [rbx + 0xf4]            ; 32 bits: upper half of RDX becomes zero
  mov r10d, [rbx + 0xf0]
  mov dword [rbx + 0x108], 0x80000005
  mov r11d, [rbx + 0x108]
  mov qword [rbx + 0x108], -2      ; sign-extended
  mov r13, [rbx + 0x108]
  mov word [rbx + 0xf0], 0x1234
  mov byte [rbx + 0xf1], 0x56
  mov ax, 0x9abc
  mov [rbx + 0xf2], ax
  mov ah, 0xde
  mov [rbx + 0xf4], ah             ; not a plain one
  mov r14, [rbx + 0xf0]
  mov rbp, -1
  mov bp, [rbx + 0xf0]             ; keeps the upper bits
  mov r15d, [rbx + 0xf4]
  mov al, [rbx + 0xf0]
  movzx esi, byte [rbx + 0xf1]
  add [rbx + 0xf0], edi            ; read, modify, write
  xchg edi, [rbx + 0xf0]
  mov r8d, HPET + 0xf0
  mov rsp, [r8]                    ; RSP and RAX are in the control blocks
  mov rax, [r8]
  mov [r8], esp
  mov [r8], rax
  mov [gs:r8], esp
  mov esp, 0x2000000
; The same instruction at the same place with other bytes: MOV [RBX+0F0h], ECX becomes MOV ECX, [RBX+0F0h].
  mov byte [change], 0x89
  call change
  mov byte [change], 0x8b
  call change
; ... and one over a page's end.
  mov rdi, across
  call rdi
  cli
.halt:
  hlt
  jmp .halt
change:
  mov [rbx + 0xf0], ecx
  ret
  times 0x1ffd - ($ - $$) db 0x90
across:
  mov [rbx + 0xf0], r8d
  ret
