; Control transfers recorded and stepped, for the comparison of backends: `nasm -f bin -o branch-records.bin branch-records.asm`.
; Every `dump` appends IA32_DEBUGCTL and MSRs 1DBh to 1DEh to the log; where an MSR raises #GP, BADh stands. Addresses that a test expects
; stand behind the first jump.
bits 64
org 0x100000
%define LOG 0x200000
%define FRESH_STACK 0x300800
%macro dump 0
%assign i 0
%rep 5
  mov ecx, [abs indices + 4 * i]
  rdmsr
  mov [rdi], eax
  mov [rdi + 4], edx
  add rdi, 8
%assign i i + 1
%endrep
%endmacro
%macro debugctl 1
  mov ecx, 0x1d9
  xor edx, edx
  mov eax, %1
  wrmsr
%endmacro
%macro trap_flag 0
  pushfq
  or qword [rsp], 0x100
  popfq
%endmacro
  jmp near start
align 8
  dq jump, jump_target, software_interrupt, handler_return, loop_end, invalid, invalid_handler, fresh, stepped, stepped_target, received, received_handler
start:
  mov rsp, 0x1ff000
  mov rdi, 0x110000
  xor ecx, ecx
gate:
  mov rax, nothing
  cmp ecx, 6
  mov rbx, invalid_handler
  cmove rax, rbx
  cmp ecx, 13
  mov rbx, refused
  cmove rax, rbx
  cmp ecx, 1
  mov rbx, debugged
  cmove rax, rbx
  cmp ecx, 0x90
  mov rbx, received_handler
  cmove rax, rbx
  mov [rdi], ax
  mov word [rdi + 2], cs
  mov word [rdi + 4], 0x8e00
  shr rax, 16
  mov [rdi + 6], ax
  mov dword [rdi + 8], 0
  mov dword [rdi + 12], 0
  add rdi, 16
  inc ecx
  cmp ecx, 256
  jb gate
  lidt [abs idtr]
  mov rdi, LOG

  debugctl 1
jump:
  jmp jump_target
  nop
jump_target:
  dump
software_interrupt:
  int 0x80
  dump
  ; Exits of a VM are no control transfers.
  xor eax, eax
  cpuid
  out 0x80, al
  dump
  mov ecx, 3
again:
  nop
loop_end:
  loop again
  dump
invalid:
  ud2
  dump
  ; Delivered on a page that nobody has touched.
  mov rsp, FRESH_STACK
fresh:
  int 0x80
  dump
  mov rsp, 0x1ff000
  ; An external interrupt: a self-IPI in x2APIC mode.
  mov ecx, 0x1b
  rdmsr
  or eax, 0xc00
  wrmsr
  mov ecx, 0x80f
  xor edx, edx
  mov eax, 0x1ff
  wrmsr
  mov ecx, 0x83f
  mov eax, 0x90
  wrmsr
  sti
  nop
received:
  cli
  dump
  ; #DB ends the recording.
  trap_flag
  nop
  dump
  ; Stepping of branches.
  debugctl 2
  trap_flag
  nop
  xor eax, eax
  cpuid
  cmp eax, eax
  jne stepped
stepped:
  jmp stepped_target
  nop
stepped_target:
  nop
  dump
  ; Both; the trap flag ends with the trap.
  debugctl 3
  trap_flag
  out 0x80, al
  call both
both:
  pop rax
  dump
  mov dx, 0xf4
  xor eax, eax
  out dx, al
  hlt

nothing:
handler_return:
  iretq
invalid_handler:
  dump
  add qword [rsp], 2
  iretq
received_handler:
  dump
  mov ecx, 0x80b
  xor eax, eax
  xor edx, edx
  wrmsr
  iretq
; RDMSR, two bytes.
refused:
  add rsp, 8
  mov eax, 0xbad
  xor edx, edx
  add qword [rsp], 2
  iretq
; Where the trap came, and once more what it left.
debugged:
  mov rax, [rsp]
  mov [rdi], rax
  add rdi, 8
  dump
  and qword [rsp + 16], ~0x100
  iretq
align 8
indices: dd 0x1d9, 0x1db, 0x1dc, 0x1dd, 0x1de
idtr: dw 0xfff
  dq 0x110000
