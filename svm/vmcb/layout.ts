/**
 * Byte offsets in the virtual machine control block, in the order of APM Appendix B, "Layout of VMCB". Unlike a VMCS its format is
 * architectural: hypervisors read and write it in memory. Widths and clean bits of the fields are in fields.ts. Left out are the fields of
 * SEV-SNP, of the LBR stack, and of PMC and IBS virtualization, which no processor of this model has.
 */

/** The VMCB is one 4-Kbyte-aligned page; rAX of VMRUN, VMLOAD and VMSAVE holds its physical address. */
export const VMCB_SIZE = 4096;
/** The control area comes first; the state-save area begins here. */
export const SAVE_AREA = 0x400;

// prettier-ignore
export const VMCB = {
  // Control area
  CR_READ_INTERCEPTS:        0x000,
  CR_WRITE_INTERCEPTS:       0x002,
  DR_READ_INTERCEPTS:        0x004,
  DR_WRITE_INTERCEPTS:       0x006,
  EXCEPTION_INTERCEPTS:      0x008,
  /** "Intercept vector" 3, 4 and 5: controls.ts names their bits. */
  INTERCEPTS_3:              0x00c,
  INTERCEPTS_4:              0x010,
  INTERCEPTS_5:              0x014,
  PAUSE_FILTER_THRESHOLD:    0x03c,
  PAUSE_FILTER_COUNT:        0x03e,
  IOPM_BASE_PA:              0x040,
  MSRPM_BASE_PA:             0x048,
  TSC_OFFSET:                0x050,
  GUEST_ASID:                0x058,
  TLB_CONTROL:               0x05c,
  /** 0 ALLOW_LARGER_RAP, 1 CLEAR_RAP. */
  ERAP_CONTROL:              0x05d,
  /** V_TPR, V_IRQ, VGIF ... AVIC enable: controls.ts names the bits. */
  V_INTR:                    0x060,
  V_INTR_VECTOR:             0x064,
  INTERRUPT_SHADOW:          0x068,
  EXITCODE:                  0x070,
  EXITINFO1:                 0x078,
  EXITINFO2:                 0x080,
  EXITINTINFO:               0x088,
  /** NP_ENABLE and its neighbours. */
  NESTED_CONTROL:            0x090,
  AVIC_APIC_BAR:             0x098,
  GHCB_PA:                   0x0a0,
  EVENTINJ:                  0x0a8,
  N_CR3:                     0x0b0,
  /** LBR_VIRTUALIZATION_ENABLE and "virtualized VMSAVE/VMLOAD". */
  VIRTUALIZATION_ENABLE:     0x0b8,
  VMCB_CLEAN:                0x0c0,
  NRIP:                      0x0c8,
  BYTES_FETCHED:             0x0d0,
  /** Fifteen bytes, from the instruction's first on. */
  INSTRUCTION_BYTES:         0x0d1,
  AVIC_BACKING_PAGE:         0x0e0,
  AVIC_LOGICAL_TABLE:        0x0f0,
  AVIC_PHYSICAL_TABLE:       0x0f8,
  VMSA_POINTER:              0x108,
  BUS_LOCK_COUNTER:          0x120,
  ALLOWED_SEV_FEATURES:      0x138,
  GUEST_SEV_FEATURES:        0x140,
  /** 32 bytes that the processor leaves to the hypervisor. */
  RESERVED_FOR_HOST:         0x3e0,

  // State-save area
  ES_SELECTOR:               0x400,
  ES_ATTRIB:                 0x402,
  ES_LIMIT:                  0x404,
  ES_BASE:                   0x408,
  CS_SELECTOR:               0x410,
  CS_ATTRIB:                 0x412,
  CS_LIMIT:                  0x414,
  CS_BASE:                   0x418,
  SS_SELECTOR:               0x420,
  SS_ATTRIB:                 0x422,
  SS_LIMIT:                  0x424,
  SS_BASE:                   0x428,
  DS_SELECTOR:               0x430,
  DS_ATTRIB:                 0x432,
  DS_LIMIT:                  0x434,
  DS_BASE:                   0x438,
  FS_SELECTOR:               0x440,
  FS_ATTRIB:                 0x442,
  FS_LIMIT:                  0x444,
  FS_BASE:                   0x448,
  GS_SELECTOR:               0x450,
  GS_ATTRIB:                 0x452,
  GS_LIMIT:                  0x454,
  GS_BASE:                   0x458,
  GDTR_LIMIT:                0x464,
  GDTR_BASE:                 0x468,
  LDTR_SELECTOR:             0x470,
  LDTR_ATTRIB:               0x472,
  LDTR_LIMIT:                0x474,
  LDTR_BASE:                 0x478,
  IDTR_LIMIT:                0x484,
  IDTR_BASE:                 0x488,
  TR_SELECTOR:               0x490,
  TR_ATTRIB:                 0x492,
  TR_LIMIT:                  0x494,
  TR_BASE:                   0x498,
  CPL:                       0x4cb,
  EFER:                      0x4d0,
  CR4:                       0x548,
  CR3:                       0x550,
  CR0:                       0x558,
  DR7:                       0x560,
  DR6:                       0x568,
  RFLAGS:                    0x570,
  RIP:                       0x578,
  RSP:                       0x5d8,
  S_CET:                     0x5e0,
  SSP:                       0x5e8,
  ISST_ADDR:                 0x5f0,
  RAX:                       0x5f8,
  STAR:                      0x600,
  LSTAR:                     0x608,
  CSTAR:                     0x610,
  SFMASK:                    0x618,
  KERNEL_GS_BASE:            0x620,
  SYSENTER_CS:               0x628,
  SYSENTER_ESP:              0x630,
  SYSENTER_EIP:              0x638,
  CR2:                       0x640,
  G_PAT:                     0x668,
  DBGCTL:                    0x670,
  BR_FROM:                   0x678,
  BR_TO:                     0x680,
  LASTEXCPFROM:              0x688,
  LASTEXCPTO:                0x690,
  SPEC_CTRL:                 0x6e0,
} as const;

export type VmcbField = keyof typeof VMCB;

/** Offsets inside a segment register's 16 bytes of the save area; GDTR and IDTR have a limit and a base only. */
export const SegmentOffset = { SELECTOR: 0, ATTRIB: 2, LIMIT: 4, BASE: 8 } as const;

/**
 * Bits of the VMCB clean field. "VMCB Clean Field": a bit that is 1 says that the fields of its group are as this VMCB's last #VMEXIT
 * left them, so that the processor may take them from its cache. A field of no group is loaded at every VMRUN.
 */
export const CleanBit = {
  /** I: intercept vectors, TSC_OFFSET, pause filter. */
  INTERCEPTS: 0,
  /** IOPM_BASE_PA and MSRPM_BASE_PA. */
  IOPM: 1,
  ASID: 2,
  /** V_TPR, V_IRQ, V_INTR_PRIO, V_IGN_TPR, V_INTR_MASKING, V_INTR_VECTOR: bytes 060h-067h. */
  TPR: 3,
  /** NP_ENABLE and its neighbours, N_CR3, G_PAT. */
  NP: 4,
  /** CR0, CR3, CR4, EFER. */
  CRX: 5,
  /** DR6, DR7. */
  DRX: 6,
  /** GDTR and IDTR. */
  DT: 7,
  /** CS, DS, SS, ES and CPL. */
  SEG: 8,
  CR2: 9,
  /** DBGCTL, BR_FROM, BR_TO, LASTEXCPFROM, LASTEXCPTO; not the bit that enables LBR virtualization. */
  LBR: 10,
  /** AVIC_APIC_BAR and the three table pointers. */
  AVIC: 11,
  /** S_CET, SSP, ISST_ADDR. */
  CET: 12,
} as const;

export type CleanBitName = keyof typeof CleanBit;
