; The frame of a random program in 32-bit protected mode: `nasm -f bin -o frame32.bin frame32.asm`. As frame64.asm; with 4-Mbyte pages when
; `paging` is not 0.
bits 32
org 0x100000
%define SLOTS 0x101000
%define SLOT_COUNT 256
%define STACK 0x1ff000
%define PAGE_DIRECTORY 0x1c0000
start:
  mov esp, STACK
  mov edi, idt
  xor ecx, ecx
.gate:
  mov eax, next
  mov [edi], ax
  mov word [edi + 2], cs
  mov word [edi + 4], 0x8e00
  shr eax, 16
  mov [edi + 6], ax
  add edi, 8
  inc ecx
  cmp ecx, 256
  jb .gate
  mov [data_selector], ss
  lidt [idtr]
  cmp dword [paging], 0
  je .physical
  xor ecx, ecx
.page:
  mov eax, ecx
  shl eax, 22
  or eax, 0x87
  mov [PAGE_DIRECTORY + ecx * 4], eax
  inc ecx
  cmp ecx, 1024
  jb .page
  mov eax, PAGE_DIRECTORY
  mov cr3, eax
  mov eax, cr4
  or eax, 0x10                    ; PSE
  mov cr4, eax
  mov eax, cr0
  or eax, 0x80010000              ; PG WP
  mov cr0, eax
.physical:
  mov eax, cr4
  or eax, 0x600                   ; OSXMMEXCPT OSFXSR
  mov cr4, eax
  mov eax, cr0
  and eax, ~0xc
  or eax, 2
  mov cr0, eax
  fninit
next:
  mov ax, [cs:data_selector]
  mov ss, ax
  mov ds, ax
  mov es, ax
  mov esp, STACK
  cld
  mov eax, [slot]
  inc dword [slot]
  cmp eax, SLOT_COUNT
  jae done
  shl eax, 4
  lea ebx, [eax + SLOTS]
  mov [target], ebx
  mov eax, [registers]
  mov ecx, [registers + 8]
  mov edx, [registers + 16]
  mov ebx, [registers + 24]
  mov ebp, [registers + 32]
  mov esi, [registers + 40]
  mov edi, [registers + 48]
  push dword [rflags]
  popfd
  jmp [target]
done:
  mov dx, 0xf4
  xor eax, eax
  out dx, al
  hlt
align 8
slot: dd 0
target: dd 0
data_selector: dw 0
idtr: dw 0x7ff
  dd idt
times 0x400 - ($ - $$) db 0
paging: dq 0
rflags: dq 2
registers: times 9 dq 0
times 0x1000 - ($ - $$) db 0x90
  times 16 * SLOT_COUNT db 0x90
  times 16 db 0x90
  jmp done
align 4096
idt:
