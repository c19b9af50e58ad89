#include "vm.h"

struct registers registers;
u8 vmxon_region[PAGE] __attribute__((aligned(PAGE)));
u8 vmcs_region[PAGE] __attribute__((aligned(PAGE)));
u8 spare_region[PAGE] __attribute__((aligned(PAGE)));
u8 io_bitmaps[2 * PAGE] __attribute__((aligned(PAGE)));
u8 msr_bitmap[PAGE] __attribute__((aligned(PAGE)));
u8 guest_stack[GUEST_STACK_SIZE] __attribute__((aligned(PAGE)));

struct gate { u16 offset_low, selector; u8 ist, access; u16 offset_middle; u32 offset_high, reserved; };
static struct gate guest_idt[64] __attribute__((aligned(16)));
static const char *started;
static int launched;
extern u8 pml4[], tss[];
extern const char vm_exit[];

struct table { u16 limit; u64 base; } __attribute__((packed));

#define LOCKED 1
#define VMXON_OUTSIDE_SMX 4

int vmx_open(void) {
  if (!(rdmsr(FEATURE_CONTROL) & LOCKED)) wrmsr(FEATURE_CONTROL, LOCKED | VMXON_OUTSIDE_SMX);
  if (!(rdmsr(FEATURE_CONTROL) & VMXON_OUTSIDE_SMX)) return 0;
  u32 revision = (u32)rdmsr(VMX_BASIC) & 0x7fffffff;
  *(u32 *)vmxon_region = *(u32 *)vmcs_region = *(u32 *)spare_region = revision;
  return 1;
}

/* Allowed 0-settings in the low half, allowed 1-settings in the high half. */
static u32 allowed(u32 msr, u32 wanted) {
  u64 capability = rdmsr(msr);
  return (wanted | (u32)capability) & (u32)(capability >> 32);
}

void add(u32 field, u64 bits) { vmwrite(field, vmread(field) | bits); }
void remove_bits(u32 field, u64 bits) { vmwrite(field, vmread(field) & ~bits); }

static void build_idt(void) {
  for (u32 v = 0; v < 64; v++) {
    u64 entry = (u64)guest_handlers + v * GUEST_HANDLER_SIZE;
    guest_idt[v] = (struct gate){ (u16)entry, 0x08, 0, 0x8e, (u16)(entry >> 16), (u32)(entry >> 32), 0 };
  }
}

static void write_controls(void) {
  vmwrite(PIN_BASED_CONTROLS, allowed(VMX_TRUE_PIN, 0));
  vmwrite(PRIMARY_CONTROLS, allowed(VMX_TRUE_PRIMARY, USE_IO_BITMAPS | USE_MSR_BITMAPS | SECONDARY));
  vmwrite(SECONDARY_CONTROLS, allowed(VMX_SECONDARY, ENABLE_EPT | ENABLE_RDTSCP | UNRESTRICTED_GUEST));
  vmwrite(EXIT_CONTROLS, allowed(VMX_TRUE_EXIT, EXIT_HOST_64 | EXIT_SAVE_EFER | EXIT_LOAD_EFER));
  vmwrite(ENTRY_CONTROLS, allowed(VMX_TRUE_ENTRY, ENTRY_IA32E | ENTRY_LOAD_EFER));
  vmwrite(IO_BITMAP_A, (u64)io_bitmaps);
  vmwrite(IO_BITMAP_B, (u64)io_bitmaps + PAGE);
  vmwrite(MSR_BITMAP, (u64)msr_bitmap);
  vmwrite(EPT_POINTER, ept_pointer());
  static const u32 zero[] = { EXCEPTION_BITMAP, PAGE_FAULT_MASK, PAGE_FAULT_MATCH, CR3_TARGET_COUNT, CR0_MASK, CR4_MASK, CR0_SHADOW, CR4_SHADOW, TSC_OFFSET,
                              ENTRY_INTERRUPTION, ENTRY_ERROR_CODE, ENTRY_INSTRUCTION_LENGTH, 0x400e, 0x4010, 0x4014 };
  for (u32 i = 0; i < sizeof zero / sizeof *zero; i++) vmwrite(zero[i], 0);
}

static void write_host(const struct table *gdtr, const struct table *idtr) {
  vmwrite(HOST_CS_SELECTOR, 0x08);
  for (u32 field = HOST_ES_SELECTOR; field <= HOST_DS_SELECTOR; field += 2)
    if (field != HOST_CS_SELECTOR) vmwrite(field, 0x10);
  vmwrite(HOST_FS_SELECTOR, 0);
  vmwrite(HOST_GS_SELECTOR, 0);
  vmwrite(HOST_TR_SELECTOR, 0x28);
  vmwrite(HOST_CR0, READ_CR(0));
  vmwrite(HOST_CR3, READ_CR(3));
  vmwrite(HOST_CR4, READ_CR(4));
  vmwrite(HOST_FS_BASE, 0);
  vmwrite(HOST_GS_BASE, 0);
  vmwrite(HOST_TR_BASE, (u64)tss);
  vmwrite(HOST_GDTR_BASE, gdtr->base);
  vmwrite(HOST_IDTR_BASE, idtr->base);
  vmwrite(0x4c00, 0); /* IA32_SYSENTER_CS */
  vmwrite(0x6c10, 0);
  vmwrite(0x6c12, 0);
  vmwrite(HOST_EFER, rdmsr(EFER_MSR));
  vmwrite(HOST_RIP, (u64)vm_exit);
}

#define CODE64 0xa09b
#define DATA 0xc093
#define CODE64_USER 0xa0fb
#define DATA_USER 0xc0f3
#define BUSY_TSS 0x8b
#define UNUSABLE 0x10000

static void write_guest(const struct table *gdtr, const char *program) {
  for (u32 i = 0; i < 8; i++) { /* ES CS SS DS FS GS LDTR TR */
    vmwrite(GUEST_ES_SELECTOR + 2 * i, 0x10);
    vmwrite(GUEST_ES_LIMIT + 2 * i, 0xffffffff);
    vmwrite(GUEST_ES_ACCESS + 2 * i, DATA);
    vmwrite(GUEST_ES_BASE + 2 * i, 0);
  }
  vmwrite(GUEST_CS_SELECTOR, 0x08);
  vmwrite(GUEST_CS_ACCESS, CODE64);
  vmwrite(GUEST_LDTR_SELECTOR, 0);
  vmwrite(GUEST_LDTR_ACCESS, UNUSABLE);
  vmwrite(GUEST_TR_SELECTOR, 0x28);
  vmwrite(GUEST_TR_ACCESS, BUSY_TSS);
  vmwrite(GUEST_TR_LIMIT, 0x67);
  vmwrite(GUEST_TR_BASE, (u64)tss);
  vmwrite(GUEST_GDTR_BASE, gdtr->base);
  vmwrite(GUEST_GDTR_LIMIT, gdtr->limit);
  vmwrite(GUEST_IDTR_BASE, (u64)guest_idt);
  vmwrite(GUEST_IDTR_LIMIT, sizeof guest_idt - 1);
  vmwrite(GUEST_CR0, READ_CR(0));
  vmwrite(GUEST_CR3, (u64)pml4);
  vmwrite(GUEST_CR4, READ_CR(4));
  vmwrite(GUEST_DR7, 0x400);
  vmwrite(GUEST_EFER, EFER_LME | EFER_LMA | EFER_NXE);
  vmwrite(GUEST_DEBUGCTL, 0);
  vmwrite(VMCS_LINK_POINTER, ~0ul);
  vmwrite(GUEST_INTERRUPTIBILITY, 0);
  vmwrite(GUEST_ACTIVITY, 0);
  vmwrite(GUEST_PENDING_DEBUG, 0);
  vmwrite(0x482a, 0); /* IA32_SYSENTER_CS */
  vmwrite(0x6824, 0);
  vmwrite(0x6826, 0);
  vmwrite(GUEST_RFLAGS, RFLAGS_FIXED);
  vmwrite(GUEST_RIP, (u64)program);
  vmwrite(GUEST_RSP, (u64)guest_stack + sizeof guest_stack);
}

void create(const char *program) {
  u64 region = (u64)vmcs_region;
  struct table gdtr, idtr;
  __asm__ volatile("sgdt %0" : "=m"(gdtr));
  __asm__ volatile("sidt %0" : "=m"(idtr));
  __asm__ volatile("vmclear %0" : : "m"(region) : "cc", "memory");
  __asm__ volatile("vmptrld %0" : : "m"(region) : "cc", "memory");
  memset(&registers, 0, sizeof registers);
  memset(io_bitmaps, 0, sizeof io_bitmaps);
  memset(msr_bitmap, 0, sizeof msr_bitmap);
  window_clear();
  invept();
  build_idt();
  write_controls();
  write_host(&gdtr, &idtr);
  write_guest(&gdtr, program);
  started = program;
  launched = 0;
}

void as_user(void) {
  vmwrite(GUEST_CS_SELECTOR, 0x23);
  vmwrite(GUEST_CS_ACCESS, CODE64_USER);
  static const u32 selectors[] = { GUEST_ES_SELECTOR, GUEST_SS_SELECTOR, GUEST_DS_SELECTOR };
  for (u32 i = 0; i < 3; i++) {
    vmwrite(selectors[i], 0x1b);
    vmwrite(selectors[i] - GUEST_ES_SELECTOR + GUEST_ES_ACCESS, DATA_USER);
  }
}

int enter(void) {
  int failure = world_switch(&registers, launched);
  if (!failure && !(vmread(EXIT_REASON) & ENTRY_FAILURE)) launched = 1;
  return failure;
}

void run(const char *program) {
  create(program);
  enter();
}

void resume_after(u32 length) {
  vmwrite(GUEST_RIP, vmread(GUEST_RIP) + length);
  enter();
}

u64 offset(u64 address) { return address - (u64)started; }
u32 exit_reason(void) { return (u32)vmread(EXIT_REASON); }
u64 qualification(void) { return vmread(EXIT_QUALIFICATION); }

int delivered(void) {
  u64 rip = vmread(GUEST_RIP);
  if (exit_reason() != VMCALL || rip < (u64)guest_handlers || rip >= (u64)guest_handlers_end) return -1;
  return (int)((rip - (u64)guest_handlers) / GUEST_HANDLER_SIZE);
}
