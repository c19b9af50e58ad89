/**
 * The vCPU block: every architectural register of one logical processor, in linear memory, at offsets from a base
 * that compiled code gets as a parameter. VMX, SVM and snapshots copy words of it; nothing architectural is elsewhere.
 * Offsets are bytes; 64-bit items are 8-byte aligned.
 */
export const CPU_BLOCK_SIZE = 0x10_0000;
/** Host address of the block of the first vCPU; the n-th stands CPU_BLOCK_SIZE * n further. */
export const CPU_BLOCKS = 0x10_0000;

export const R = {
  /** 16 general registers, 8 bytes each: RAX RCX RDX RBX RSP RBP RSI RDI R8-R15. AH is GPR + 1. */
  GPR: 0x000,
  /** Always zero: the "no base / no index" register of decoded records. */
  ZERO: 0x080,
  /** 64-bit instruction pointer (an offset in CS). Valid whenever no compiled code runs. */
  RIP: 0x088,
  /** Linear address of the page that code runs in. */
  PAGE_BASE: 0x090,
  /** Lazy flags: sign-extended result, auxiliary operand, operation (see flags.ts). */
  FLAG_RESULT: 0x098,
  FLAG_AUX: 0x0a0,
  FLAG_OP: 0x0a8,
  /** Instructions left before the step loop must look up, signed 32. */
  BUDGET: 0x0ac,
  /** Record at which compiled code left. */
  EXIT_RECORD: 0x0b0,
  /** TLB context of data accesses and of the current address space: bits 11:0. */
  CONTEXT: 0x0b8,
  /** XORed into jump-cache tags: context and mode (jump-key.ts). */
  JUMP_KEY: 0x0c0,
  /** Results of segment address calculations of the current instruction. */
  TEMP0: 0x0c8,
  TEMP1: 0x0d0,
  MASK16: 0x0d8,
  MASK32: 0x0e0,
  MASK64: 0x0e8,
  /** RFLAGS without the six arithmetic flags (they are lazy); bit 1 always set. 32 bits. */
  RFLAGS_SYSTEM: 0x0f0,
  /** Current privilege level, 0-3. */
  CPL: 0x0f4,
  /** Base that code offsets are relative to: CS.base, 0 in 64-bit mode. */
  CODE_BASE: 0x0f8,
  /** What an SSE instruction does first: 0 nothing, 1 raises #UD (CR0.EM, no CR4.OSFXSR), 2 raises #NM (CR0.TS). Derived: updateSimdState(). */
  SSE_STATE: 0x1240,
  /** All ones in 64-bit mode, otherwise 32 of them: what the instruction pointer is cut to. Derived: modeChanged(). */
  IP_MASK: 0x1248,
  /** 1 if linear addresses have 57 bits (CR4.LA57), 0 if 48. 32 bits. Derived: contextChanged(). */
  LA57: 0x1250,

  // control registers
  CR0: 0x100,
  CR2: 0x108,
  CR3: 0x110,
  CR4: 0x118,
  XCR0: 0x120,
  DR0: 0x128,
  DR1: 0x130,
  DR2: 0x138,
  DR3: 0x140,
  DR6: 0x148,
  DR7: 0x150,
  /** PDPTE registers of PAE paging. */
  PDPTE0: 0x158,
  PDPTE1: 0x160,
  PDPTE2: 0x168,
  PDPTE3: 0x170,
  /** Mask of the stack pointer: 64, 32 or 16 bits of ones. */
  STACK_MASK: 0x178,

  // descriptor tables
  GDTR_BASE: 0x180,
  GDTR_LIMIT: 0x188,
  IDTR_BASE: 0x190,
  IDTR_LIMIT: 0x198,

  // MSRs with a home (64 bits each)
  EFER: 0x1a0,
  STAR: 0x1a8,
  LSTAR: 0x1b0,
  CSTAR: 0x1b8,
  SFMASK: 0x1c0,
  KERNEL_GS_BASE: 0x1c8,
  SYSENTER_CS: 0x1d0,
  SYSENTER_ESP: 0x1d8,
  SYSENTER_EIP: 0x1e0,
  PAT: 0x1e8,
  DEBUGCTL: 0x1f0,
  TSC_AUX: 0x1f8,
  /** Added to the tick count to give the TSC of the running context (physical TSC offset; TSC_ADJUST and VMX offset are separate). */
  TSC_OFFSET: 0x200,
  TSC_ADJUST: 0x208,
  MISC_ENABLE: 0x210,
  SPEC_CTRL: 0x218,
  XSS: 0x220,
  APIC_BASE: 0x228,
  FEATURE_CONTROL: 0x230,
  /** TSC offset of VMX / SVM guest mode, 0 in root mode. */
  GUEST_TSC_OFFSET: 0x238,

  // floating point
  MXCSR: 0x280,
  FCW: 0x284,
  FSW: 0x288,
  /** Abridged tag word as FXSAVE has it: bit i set = physical register i is not empty. */
  FTW: 0x28c,
  FOP: 0x290,
  FIP: 0x298,
  FDP: 0x2a0,
  /** Eight physical x87 registers, 16 bytes each: 64-bit significand, then sign and exponent in 16 bits. MMX registers are their significands. */
  FPR: 0x300,
  /** Segment registers, SEGMENT_STRIDE bytes each, in the order of Segment: ES CS SS DS FS GS LDTR TR. */
  SEGMENTS: 0x400,
  /** XMM0-15, 64 bytes each (room for ZMM), then 16-31. */
  XMM: 0x800,
  /** Bounce buffers for accesses that cross a page or touch a device: one for reads, one for writes. */
  BOUNCE_READ: 0x1000,
  BOUNCE_WRITE: 0x1080,
  // MSRs that only RDMSR and WRMSR see (64 bits each)
  /** IA32_MTRR_PHYSBASE0, PHYSMASK0, PHYSBASE1 ...: 8 pairs. */
  MTRR_VARIABLE: 0x1100,
  /** IA32_MTRR_FIX64K_00000, FIX16K_80000, FIX16K_A0000, FIX4K_C0000 ... F8000: 11. */
  MTRR_FIXED: 0x1180,
  MTRR_DEF_TYPE: 0x11d8,
  /** IA32_BIOS_SIGN_ID as software last left it. */
  BIOS_SIGN_ID: 0x11e0,
  MCG_STATUS: 0x11e8,
  MISC_FEATURES_ENABLES: 0x11f0,
  /** AMD: HWCR, SYSCFG, TOP_MEM, TOP_MEM2, DE_CFG, NB_CFG, MMIO configuration base. */
  HWCR: 0x1200,
  SYSCFG: 0x1208,
  TOP_MEM: 0x1210,
  TOP_MEM2: 0x1218,
  DE_CFG: 0x1220,
  NB_CFG: 0x1228,
  MMIO_CFG_BASE: 0x1230,
  /** Not 0: MONITOR armed the monitor and nothing has disarmed it. 32 bits. */
  MONITOR_ARMED: 0x1238,
  /** AMD: PerfEvtSel0-3, PerfCtr0-3 (performance-counters.ts says what a running counter holds). */
  PERF_SELECT: 0x1280,
  PERF_COUNTER: 0x12a0,
  /** AMD: bits of CPUID that software turned, by XOR: leaf 7 EBX, then leaves 1 and 8000_0001h with EDX low and ECX high. */
  CPUID_OVERRIDE_7: 0x12c0,
  CPUID_OVERRIDE_1: 0x12c8,
  CPUID_OVERRIDE_EXTENDED: 0x12d0,
  /** AMD: LastBranchFromIP, LastBranchToIP, LastIntFromIP, LastIntToIP. */
  LAST_BRANCH_FROM: 0x12d8,
  LAST_BRANCH_TO: 0x12e0,
  LAST_INT_FROM: 0x12e8,
  LAST_INT_TO: 0x12f0,
} as const;

/** Registers end before this; nothing between here and the TLB is in use. */
export const REGISTERS_END = 0x2000;

export const SEGMENT_STRIDE = 64;
/** Offsets inside a segment register. */
export const S = {
  /** 16 bits. */
  SELECTOR: 0,
  /** As in the VMCS: 3:0 type, 4 S, 6:5 DPL, 7 P, 12 AVL, 13 L, 14 D/B, 15 G, 16 unusable. */
  ACCESS: 4,
  /** In bytes, 32 bits, after granularity. */
  LIMIT: 8,
  BASE: 16,
  /** Lowest and highest offset (unsigned 64, inclusive) that may be read / written; an empty range refuses all. Derived: segments.ts. */
  READ_LOW: 24,
  READ_HIGH: 32,
  WRITE_LOW: 40,
  WRITE_HIGH: 48,
} as const;

/** Offset of item `item` (S.*) of segment register `segment`. */
export const seg = (segment: number, item: number): number => R.SEGMENTS + segment * SEGMENT_STRIDE + item;
export const gprOffset = (register: number): number => (register < 16 ? R.GPR + register * 8 : R.GPR + (register - 16) * 8 + 1);
export const xmmOffset = (register: number): number => R.XMM + register * 64;

/** Software TLB of a vCPU, inside its block: direct-mapped first way, then the victim way. */
export const TLB_BITS = 11;
export const TLB_ENTRY = 32;
export const TLB = 0x4_0000;
export const TLB_VICTIM = TLB + (TLB_ENTRY << TLB_BITS);
/** Offsets in a TLB entry. A tag is page address | context; 1 in an unused tag never matches (context 0 is not given out, low bits of a tag are the context). */
export const T = { READ: 0, WRITE: 8, EXECUTE: 16, ADDEND: 24, FRAME: 28 } as const;
export const TLB_POISON = 0n;

/** Jump cache: tag i64 (linear rip XOR JUMP_KEY) | record i32 | spare i32. */
export const JUMP_CACHE = 0x8_0000;
export const JUMP_CACHE_BITS = 14;

/** Decoded records, shared by all vCPUs of a machine. */
export const RECORDS = 0x200_0000;
export const RECORDS_END = 0x0e00_0000;
export const RECORD_SIZE = 32;
