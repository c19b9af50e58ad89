/* Events injected by VM entry, and the windows in which the guest can take one (SDM 3, "Event Injection"). */
#include "vm.h"

PROGRAM(inject_nop, "nop\n nop\n nop");

static void show_one(const char *name, u32 event, u32 error, u32 length, u64 rflags) {
  create(inject_nop);
  add(GUEST_RFLAGS, rflags);
  vmwrite(ENTRY_INTERRUPTION, event);
  vmwrite(ENTRY_ERROR_CODE, error);
  vmwrite(ENTRY_INSTRUCTION_LENGTH, length);
  int failure = enter();
  if (failure) print("%-44s VMfailValid(%lu)\n", name, vmread(INSTRUCTION_ERROR));
  else if (exit_reason() & ENTRY_FAILURE) LINE(name, ", qualification %lx", qualification());
  else LINE(name, ", IF %lu, valid %lu", vmread(GUEST_RFLAGS) >> 9 & 1, vmread(ENTRY_INTERRUPTION) >> 31);
}

static void show_return(void) {
  create(inject_nop);
  add(GUEST_RFLAGS, RFLAGS_IF);
  vmwrite(ENTRY_INTERRUPTION, EVENT(HARDWARE, GP) | WITH_ERROR);
  vmwrite(ENTRY_ERROR_CODE, 0x1238);
  enter();
  begin("#GP(1238h), then IRET");
  resume_after(VMCALL_LENGTH);
  print("; then +%lx, IF %lu\n", offset(vmread(GUEST_RIP)), vmread(GUEST_RFLAGS) >> 9 & 1);
}

void show_injection(void) {
  section("Event injection");
  show_one("exception #UD", EVENT(HARDWARE, UD), 0, 0, 0);
  show_one("exception #GP, error code 1238h", EVENT(HARDWARE, GP) | WITH_ERROR, 0x1238, 0, 0);
  show_one("exception #PF, error code 7", EVENT(HARDWARE, PF) | WITH_ERROR, 7, 0, 0);
  show_one("external interrupt 21h", EVENT(EXTERNAL, 0x21), 0, 0, RFLAGS_IF);
  show_one("NMI", EVENT(NON_MASKABLE, 2), 0, 0, 0);
  show_one("software interrupt 30h, length 2", EVENT(SOFTWARE_INTERRUPT, 0x30), 0, 2, 0);
  show_one("software exception #BP, length 1", EVENT(SOFTWARE_EXCEPTION, BP), 0, 1, 0);
  show_one("nothing: valid bit clear", EVENT(HARDWARE, UD) & 0x7fffffff, 0, 0, 0);
  show_return();
  create(inject_nop);
  vmwrite(EXCEPTION_BITMAP, 1u << UD);
  vmwrite(ENTRY_INTERRUPTION, EVENT(HARDWARE, UD));
  enter();
  LINE("injected #UD does not exit");

  section("Event injection: refused");
  show_one("external interrupt 21h, IF = 0", EVENT(EXTERNAL, 0x21), 0, 0, 0);
  show_one("type 1", EVENT(1, 0x21), 0, 0, 0);
  show_one("NMI with vector 3", EVENT(NON_MASKABLE, 3), 0, 0, 0);
  show_one("hardware exception 32", EVENT(HARDWARE, 32), 0, 0, 0);
  show_one("#GP without error code", EVENT(HARDWARE, GP), 0, 0, 0);
  show_one("#UD with error code", EVENT(HARDWARE, UD) | WITH_ERROR, 0, 0, 0);
  show_one("error code with bit 31", EVENT(HARDWARE, GP) | WITH_ERROR, 1u << 31, 0, 0);
  show_one("reserved bit 12", EVENT(HARDWARE, UD) | 1u << 12, 0, 0, 0);
  show_one("software interrupt, length 16", EVENT(SOFTWARE_INTERRUPT, 0x30), 0, 16, 0);
}

PROGRAM(w_sti, "sti\n nop\n nop\n nop");
PROGRAM(w_popf, "pushq $0x202\n popf\n nop\n nop");
PROGRAM(w_hlt, "sti\n hlt\n nop");
PROGRAM(w_ss, "mov %ss, %eax\n mov %eax, %ss\n cpuid");

static void show_window(const char *name, const char *program, u64 rflags, u32 interruptibility) {
  create(program);
  add(PRIMARY_CONTROLS, INTERRUPT_WINDOW_EXITING);
  add(GUEST_RFLAGS, rflags);
  vmwrite(GUEST_INTERRUPTIBILITY, interruptibility);
  enter();
  LINE(name);
}

void show_windows(void) {
  section("Interrupt and NMI windows");
  show_window("IF = 1", inject_nop, RFLAGS_IF, 0);
  show_window("IF = 0", inject_nop, 0, 0);
  show_window("IF = 0, then STI", w_sti, 0, 0);
  show_window("IF = 0, then POPF", w_popf, 0, 0);
  show_window("IF = 1, blocking by STI", inject_nop, RFLAGS_IF, BLOCKING_BY_STI);
  show_window("IF = 1, blocking by MOV SS", inject_nop, RFLAGS_IF, BLOCKING_BY_MOV_SS);
  create(w_hlt);
  add(PRIMARY_CONTROLS, HLT_EXITING);
  enter();
  LINE("HLT right after STI", ", interruptibility %lx", vmread(GUEST_INTERRUPTIBILITY));
  run(w_ss);
  LINE("CPUID right after MOV SS", ", interruptibility %lx", vmread(GUEST_INTERRUPTIBILITY));
  create(inject_nop);
  add(PIN_BASED_CONTROLS, NMI_EXITING | VIRTUAL_NMIS);
  add(PRIMARY_CONTROLS, NMI_WINDOW_EXITING);
  enter();
  LINE("NMI window");
  create(inject_nop);
  add(PIN_BASED_CONTROLS, NMI_EXITING | VIRTUAL_NMIS);
  vmwrite(ENTRY_INTERRUPTION, EVENT(NON_MASKABLE, 2));
  enter();
  begin("injected NMI blocks");
  print(", interruptibility %lx", vmread(GUEST_INTERRUPTIBILITY));
  add(PRIMARY_CONTROLS, NMI_WINDOW_EXITING);
  resume_after(VMCALL_LENGTH);
  print("; window after IRET: exit %u at +%lx\n", exit_reason(), offset(vmread(GUEST_RIP)));
}
