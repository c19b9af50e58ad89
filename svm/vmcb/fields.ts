/** The VMCB field table: width and clean bit of every field of layout.ts. For the cache of clean fields, debuggers, docs and tests. */
import { CleanBit, SAVE_AREA, VMCB, type VmcbField } from './layout';

export type FieldBits = 8 | 16 | 32 | 64 | 120 | 256;
/** A clean bit, or 'always': loaded from memory at every VMRUN (or written at #VMEXIT, or moved by VMLOAD and VMSAVE only). */
type Clean = number | 'always';

export interface FieldDescription {
  readonly name: VmcbField;
  /** From the first byte of the VMCB. */
  readonly offset: number;
  readonly bits: FieldBits;
  readonly area: 'control' | 'save';
  /** Bit of VMCB_CLEAN that covers the field; undefined: none, the field is never cached. */
  readonly cleanBit: number | undefined;
}

const { INTERCEPTS, IOPM, ASID, TPR, NP, CRX, DRX, DT, SEG, CR2, LBR, AVIC, CET } = CleanBit;

// prettier-ignore
const WIDTH_AND_CLEAN_BIT: Readonly<Record<VmcbField, readonly [FieldBits, Clean]>> = {
  CR_READ_INTERCEPTS:        [16, INTERCEPTS],
  CR_WRITE_INTERCEPTS:       [16, INTERCEPTS],
  DR_READ_INTERCEPTS:        [16, INTERCEPTS],
  DR_WRITE_INTERCEPTS:       [16, INTERCEPTS],
  EXCEPTION_INTERCEPTS:      [32, INTERCEPTS],
  INTERCEPTS_3:              [32, INTERCEPTS],
  INTERCEPTS_4:              [32, INTERCEPTS],
  INTERCEPTS_5:              [32, INTERCEPTS],
  PAUSE_FILTER_THRESHOLD:    [16, INTERCEPTS],
  PAUSE_FILTER_COUNT:        [16, INTERCEPTS],
  IOPM_BASE_PA:              [64, IOPM],
  MSRPM_BASE_PA:             [64, IOPM],
  TSC_OFFSET:                [64, INTERCEPTS],
  GUEST_ASID:                [32, ASID],
  TLB_CONTROL:               [8, 'always'],
  ERAP_CONTROL:              [8, 'always'],
  V_INTR:                    [32, TPR],
  V_INTR_VECTOR:             [8, TPR],
  INTERRUPT_SHADOW:          [64, 'always'],
  EXITCODE:                  [64, 'always'],
  EXITINFO1:                 [64, 'always'],
  EXITINFO2:                 [64, 'always'],
  EXITINTINFO:               [64, 'always'],
  NESTED_CONTROL:            [64, NP],
  AVIC_APIC_BAR:             [64, AVIC],
  GHCB_PA:                   [64, 'always'],
  EVENTINJ:                  [64, 'always'],
  N_CR3:                     [64, NP],
  VIRTUALIZATION_ENABLE:     [64, 'always'],
  VMCB_CLEAN:                [32, 'always'],
  NRIP:                      [64, 'always'],
  BYTES_FETCHED:             [8, 'always'],
  INSTRUCTION_BYTES:         [120, 'always'],
  AVIC_BACKING_PAGE:         [64, AVIC],
  AVIC_LOGICAL_TABLE:        [64, AVIC],
  AVIC_PHYSICAL_TABLE:       [64, AVIC],
  VMSA_POINTER:              [64, 'always'],
  BUS_LOCK_COUNTER:          [16, 'always'],
  ALLOWED_SEV_FEATURES:      [64, 'always'],
  GUEST_SEV_FEATURES:        [64, 'always'],
  RESERVED_FOR_HOST:         [256, 'always'],

  ES_SELECTOR:               [16, SEG],
  ES_ATTRIB:                 [16, SEG],
  ES_LIMIT:                  [32, SEG],
  ES_BASE:                   [64, SEG],
  CS_SELECTOR:               [16, SEG],
  CS_ATTRIB:                 [16, SEG],
  CS_LIMIT:                  [32, SEG],
  CS_BASE:                   [64, SEG],
  SS_SELECTOR:               [16, SEG],
  SS_ATTRIB:                 [16, SEG],
  SS_LIMIT:                  [32, SEG],
  SS_BASE:                   [64, SEG],
  DS_SELECTOR:               [16, SEG],
  DS_ATTRIB:                 [16, SEG],
  DS_LIMIT:                  [32, SEG],
  DS_BASE:                   [64, SEG],
  // FS, GS, LDTR and TR are moved by VMLOAD and VMSAVE: the clean field says nothing about them.
  FS_SELECTOR:               [16, 'always'],
  FS_ATTRIB:                 [16, 'always'],
  FS_LIMIT:                  [32, 'always'],
  FS_BASE:                   [64, 'always'],
  GS_SELECTOR:               [16, 'always'],
  GS_ATTRIB:                 [16, 'always'],
  GS_LIMIT:                  [32, 'always'],
  GS_BASE:                   [64, 'always'],
  GDTR_LIMIT:                [32, DT],
  GDTR_BASE:                 [64, DT],
  LDTR_SELECTOR:             [16, 'always'],
  LDTR_ATTRIB:               [16, 'always'],
  LDTR_LIMIT:                [32, 'always'],
  LDTR_BASE:                 [64, 'always'],
  IDTR_LIMIT:                [32, DT],
  IDTR_BASE:                 [64, DT],
  TR_SELECTOR:               [16, 'always'],
  TR_ATTRIB:                 [16, 'always'],
  TR_LIMIT:                  [32, 'always'],
  TR_BASE:                   [64, 'always'],
  CPL:                       [8, SEG],
  EFER:                      [64, CRX],
  CR4:                       [64, CRX],
  CR3:                       [64, CRX],
  CR0:                       [64, CRX],
  DR7:                       [64, DRX],
  DR6:                       [64, DRX],
  RFLAGS:                    [64, 'always'],
  RIP:                       [64, 'always'],
  RSP:                       [64, 'always'],
  S_CET:                     [64, CET],
  SSP:                       [64, CET],
  ISST_ADDR:                 [64, CET],
  RAX:                       [64, 'always'],
  STAR:                      [64, 'always'],
  LSTAR:                     [64, 'always'],
  CSTAR:                     [64, 'always'],
  SFMASK:                    [64, 'always'],
  KERNEL_GS_BASE:            [64, 'always'],
  SYSENTER_CS:               [64, 'always'],
  SYSENTER_ESP:              [64, 'always'],
  SYSENTER_EIP:              [64, 'always'],
  CR2:                       [64, CR2],
  G_PAT:                     [64, NP],
  DBGCTL:                    [64, LBR],
  BR_FROM:                   [64, LBR],
  BR_TO:                     [64, LBR],
  LASTEXCPFROM:              [64, LBR],
  LASTEXCPTO:                [64, LBR],
  SPEC_CTRL:                 [64, 'always'],
};

/** Every field, in the order of their offsets. */
export const FIELD_NAMES = Object.keys(VMCB) as readonly VmcbField[];

export function describeField(name: VmcbField): FieldDescription {
  const [bits, clean] = WIDTH_AND_CLEAN_BIT[name];
  const offset = VMCB[name];
  return { name, offset, bits, area: offset < SAVE_AREA ? 'control' : 'save', cleanBit: clean === 'always' ? undefined : clean };
}

export const FIELDS: readonly FieldDescription[] = FIELD_NAMES.map(describeField);

/** The fields that a clean bit covers. */
export const fieldsOfCleanBit = (bit: number): readonly FieldDescription[] => FIELDS.filter((f) => f.cleanBit === bit);

/** The field that holds the byte at an offset of the VMCB; undefined where the manual has none (reserved bytes). */
export const fieldAt = (offset: number): FieldDescription | undefined => FIELDS.find((f) => offset >= f.offset && offset < f.offset + f.bits / 8);
