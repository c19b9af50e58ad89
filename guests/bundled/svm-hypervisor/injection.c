/* EVENTINJ: events that the guest finds as if they had happened (APM 2, "Event Injection"). */
#include "vm.h"

PROGRAM(inject_nop, "nop\n nop\n nop");

static void show_one(const char *name, u64 event) {
  create(inject_nop);
  vmcb.event_injection = event;
  vmcb.next_rip = vmcb.rip; /* what an injected INTn pushes, if the processor has next-RIP save */
  enter();
  begin(name);
  if (exit_code() != INVALID) print(", IF %lu, EVENTINJ valid %lu", vmcb.rflags >> 9 & 1, vmcb.event_injection >> 31 & 1);
  print("\n");
}

static void show_return(void) {
  create(inject_nop);
  vmcb.rflags |= RFLAGS_IF;
  vmcb.event_injection = EVENT(EXCEPTION_EVENT, GP) | WITH_ERROR(0x1238);
  enter();
  begin("#GP(1238h), then IRET");
  resume_after(VMMCALL_LENGTH);
  print("; then +%lx, IF %lu\n", offset(vmcb.rip), vmcb.rflags >> 9 & 1);
}

void show_injection(void) {
  section("Event injection");
  show_one("exception #UD", EVENT(EXCEPTION_EVENT, UD));
  show_one("exception #GP, error code 1238h", EVENT(EXCEPTION_EVENT, GP) | WITH_ERROR(0x1238));
  show_one("exception #PF, error code 7", EVENT(EXCEPTION_EVENT, PF) | WITH_ERROR(7));
  show_one("exception #DB", EVENT(EXCEPTION_EVENT, DB));
  show_one("external interrupt 21h, IF = 0", EVENT(EXTERNAL, 0x21));
  show_one("NMI", EVENT(NON_MASKABLE, 2));
  show_one("software interrupt 30h", EVENT(SOFTWARE, 0x30));
  show_one("nothing: valid bit clear", EVENT(EXCEPTION_EVENT, UD) & ~EVENT(0, 0));
  show_return();

  create(inject_nop);
  intercept(EXCEPTION + UD);
  vmcb.event_injection = EVENT(EXCEPTION_EVENT, UD);
  enter();
  LINE("injected #UD is not intercepted");

  section("Event injection: refused");
  show_one("type 1", EVENT(1, 0x21));
  show_one("type 5", EVENT(5, 0x21));
  show_one("type 7", EVENT(7, 0x21));
  show_one("exception with vector 2", EVENT(EXCEPTION_EVENT, 2));
  show_one("exception with vector 32", EVENT(EXCEPTION_EVENT, 32));
  show_one("exception #BR in 64-bit mode", EVENT(EXCEPTION_EVENT, 5));
}
