/* The virtual machine control block (APM 2, "VMCB Layout"). */
#pragma once
#include "../common/guest.h"

struct vmcb_segment {
  u16 selector, attributes;
  u32 limit;
  u64 base;
};

struct vmcb {
  /* Bit n of all words together is the intercept whose exit code is n: CR, DR, exceptions, instructions. */
  u32 intercepts[6];
  u8 reserved_18[0x3c - 0x18];
  u16 pause_filter_threshold, pause_filter_count;
  u64 iopm, msrpm, tsc_offset;
  u32 asid;
  u8 tlb_control, reserved_5d[3];
  u64 virtual_interrupt;
  u64 interrupt_shadow;
  u64 exit_code, exit_info1, exit_info2, exit_int_info;
  u64 nested_paging;
  u8 reserved_98[0xa8 - 0x98];
  u64 event_injection;
  u64 nested_cr3;
  u64 virtualization_enable;
  u32 clean, reserved_c4;
  u64 next_rip;
  u8 fetched, instruction_bytes[15];
  u8 reserved_e0[0x400 - 0xe0];

  struct vmcb_segment es, cs, ss, ds, fs, gs, gdtr, ldtr, idtr, tr;
  u8 reserved_4a0[0x4cb - 0x4a0];
  u8 cpl;
  u32 reserved_4cc;
  u64 efer;
  u8 reserved_4d8[0x548 - 0x4d8];
  u64 cr4, cr3, cr0, dr7, dr6, rflags, rip;
  u8 reserved_580[0x5d8 - 0x580];
  u64 rsp;
  u64 s_cet, ssp, isst;
  u64 rax;
  u64 star, lstar, cstar, sfmask, kernel_gs_base, sysenter_cs, sysenter_esp, sysenter_eip;
  u64 cr2;
  u8 reserved_648[0x668 - 0x648];
  u64 g_pat;
  u64 debugctl, branch_from, branch_to, exception_from, exception_to;
  u8 reserved_698[0x1000 - 0x698];
};

#define AT(field, offset) _Static_assert(__builtin_offsetof(struct vmcb, field) == (offset), #field)
AT(pause_filter_threshold, 0x3c);
AT(iopm, 0x40);
AT(asid, 0x58);
AT(virtual_interrupt, 0x60);
AT(exit_code, 0x70);
AT(nested_paging, 0x90);
AT(event_injection, 0xa8);
AT(nested_cr3, 0xb0);
AT(clean, 0xc0);
AT(next_rip, 0xc8);
AT(es, 0x400);
AT(tr, 0x490);
AT(cpl, 0x4cb);
AT(efer, 0x4d0);
AT(cr4, 0x548);
AT(rip, 0x578);
AT(rsp, 0x5d8);
AT(rax, 0x5f8);
AT(star, 0x600);
AT(cr2, 0x640);
AT(g_pat, 0x668);
_Static_assert(sizeof(struct vmcb) == 4096, "one page");

/* Exit codes, which are also the numbers of intercepts (APM 2, "SVM Intercept Exit Codes"). */
enum {
  CR_READ = 0x00, CR_WRITE = 0x10, DR_READ = 0x20, DR_WRITE = 0x30, EXCEPTION = 0x40,
  INTR = 0x60, NMI, SMI, INIT, VINTR, CR0_SEL_WRITE, IDTR_READ, GDTR_READ, LDTR_READ, TR_READ, IDTR_WRITE, GDTR_WRITE, LDTR_WRITE, TR_WRITE,
  RDTSC, RDPMC, PUSHF, POPF, CPUID, RSM, IRET, SWINT, INVD, PAUSE, HLT, INVLPG, INVLPGA, IOIO, MSR, TASK_SWITCH, FERR_FREEZE, SHUTDOWN,
  VMRUN = 0x80, VMMCALL, VMLOAD, VMSAVE, STGI, CLGI, SKINIT, RDTSCP, ICEBP, WBINVD, MONITOR, MWAIT, MWAIT_CONDITIONAL, XSETBV,
  NPF = 0x400,
};
#define INVALID 0xffffffff

enum { DE = 0, DB = 1, BP = 3, UD = 6, NM = 7, DF = 8, SS = 12, GP = 13, PF = 14 };

/* EVENTINJ and EXITINTINFO. */
#define EVENT(type, vector) (1ul << 31 | (u64)(type) << 8 | (vector))
#define WITH_ERROR(code) (1ul << 11 | (u64)(code) << 32)
enum { EXTERNAL = 0, NON_MASKABLE = 2, EXCEPTION_EVENT = 3, SOFTWARE = 4 };

/* The virtual interrupt fields at offset 60h. */
#define V_TPR(priority) ((u64)(priority))
#define V_IRQ (1ul << 8)
#define V_INTR_PRIO(priority) ((u64)(priority) << 16)
#define V_IGN_TPR (1ul << 20)
#define V_INTR_MASKING (1ul << 24)
#define V_INTR_VECTOR(vector) ((u64)(vector) << 32)

enum { FLUSH_NOTHING = 0, FLUSH_ALL = 1 };

#define EFER_MSR 0xc0000080
#define EFER_SCE 0x1ul
#define EFER_LME 0x100ul
#define EFER_LMA 0x400ul
#define EFER_NXE 0x800ul
#define EFER_SVME 0x1000ul
#define VM_CR 0xc0010114
#define VM_HSAVE_PA 0xc0010117

#define CR0_PE 0x1ul
#define CR0_TS 0x8ul
#define CR0_ET 0x10ul
#define CR0_NE 0x20ul
#define CR0_WP 0x10000ul
#define CR0_NW 0x20000000ul
#define CR0_CD 0x40000000ul
#define CR0_PG 0x80000000ul
#define CR4_PSE 0x10ul
#define CR4_PAE 0x20ul

#define RFLAGS_FIXED 0x2ul
#define RFLAGS_TF 0x100ul
#define RFLAGS_IF 0x200ul
#define RFLAGS_VM 0x20000ul
