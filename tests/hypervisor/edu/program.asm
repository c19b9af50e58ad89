; Drives QEMU's educational device at 00:04.0: checks a register, has it write 4 zero bytes to 2 MiB and interrupt by MSI when it has,
; and ends the run by isa-debug-exit: 10h, or 11h when something is not as it should be.
; nasm -f bin -o program.bin program.asm
bits 32
org 0x100000
%macro config 2
  mov dx, 0xcf8
  mov eax, 0x80002000 + %1
  out dx, eax
  mov dx, 0xcfc
  mov eax, %2
  out dx, eax
%endmacro
%macro end 1
  mov dx, 0xf4
  mov eax, %1
  out dx, eax
%endmacro
start:
  mov esp, 0x90000
  mov dx, 0xcf8
  mov eax, 0x80002010
  out dx, eax
  mov dx, 0xcfc
  in eax, dx
  mov ebx, eax
  cmp dword [ebx], 0x010000ed
  jne failed
  lgdt [gdtr]
  jmp 8:next
next:
  mov ax, 16
  mov ds, ax
  mov es, ax
  mov ss, ax
  ; vector 40h
  mov eax, handler
  mov [idt + 0x40 * 8], ax
  shr eax, 16
  mov [idt + 0x40 * 8 + 6], ax
  mov word [idt + 0x40 * 8 + 2], 8
  mov word [idt + 0x40 * 8 + 4], 0x8e00
  lidt [idtr]
  mov dword [0xfee000f0], 0x1ff
  ; memory and bus master; MSI at 84h: address, data, enable
  config 0x04, 6
  config 0x88, 0xfee00000
  config 0x8c, 0
  config 0x90, 0x40
  config 0x84, 0x00010005
  mov dword [ebx + 0x80], 0x40000
  mov dword [ebx + 0x88], 0x200000
  mov dword [ebx + 0x90], 4
  mov dword [0x200000], 0xffffffff
  mov dword [ebx + 0x98], 7
  sti
idle:
  hlt
  jmp idle
handler:
  cmp dword [ebx + 0x24], 0x100
  jne failed
  cmp dword [0x200000], 0
  jne failed
  mov dword [ebx + 0x64], 0x100
  end 0x10
failed:
  end 0x11
align 8
gdt: dq 0, 0x00cf9b000000ffff, 0x00cf93000000ffff
gdtr: dw 23
  dd gdt
idtr: dw 0x40 * 8 + 7
  dd idt
align 8
idt: times 0x41 * 8 db 0
