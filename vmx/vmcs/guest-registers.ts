/**
 * Guest registers that VM entry loads and VM exit saves unchanged: VMCS field, word of the vCPU block, number of 32-bit words.
 * CR0, RFLAGS, DR7, the debug, PAT and EFER MSRs and the PDPTEs have rules of their own (entry/load.ts, exit/save.ts).
 */
import { R, S, seg } from '../../cpu/layout';
import { Segment } from '../../cpu/decoder/insn';
import { OFFSET } from './layout';
import type { FieldName } from './fields';

type Row = readonly [field: FieldName, blockOffset: number, words: 1 | 2];

const RSP = 4;

// prettier-ignore
export const GUEST_REGISTERS: readonly Row[] = [
  ['GUEST_CR3',                R.CR3,                2],
  ['GUEST_CR4',                R.CR4,                2],
  ['GUEST_RSP',                R.GPR + RSP * 8,      2],
  ['GUEST_RIP',                R.RIP,                2],
  ['GUEST_GDTR_BASE',          R.GDTR_BASE,          2],
  ['GUEST_GDTR_LIMIT',         R.GDTR_LIMIT,         1],
  ['GUEST_IDTR_BASE',          R.IDTR_BASE,          2],
  ['GUEST_IDTR_LIMIT',         R.IDTR_LIMIT,         1],
  ['GUEST_IA32_SYSENTER_CS',   R.SYSENTER_CS,        2],
  ['GUEST_IA32_SYSENTER_ESP',  R.SYSENTER_ESP,       2],
  ['GUEST_IA32_SYSENTER_EIP',  R.SYSENTER_EIP,       2],
  ...(['ES', 'CS', 'SS', 'DS', 'FS', 'GS', 'LDTR', 'TR'] as const).flatMap((r): Row[] => [
    [`GUEST_${r}_SELECTOR`,      seg(Segment[r], S.SELECTOR), 1],
    [`GUEST_${r}_ACCESS_RIGHTS`, seg(Segment[r], S.ACCESS),   1],
    [`GUEST_${r}_LIMIT`,         seg(Segment[r], S.LIMIT),    1],
    [`GUEST_${r}_BASE`,          seg(Segment[r], S.BASE),     2],
  ]),
];

/** The same as pairs (word in the region, word in the block): what entry and exit loop over. */
export const GUEST_REGISTER_WORDS: Uint16Array = Uint16Array.from(
  GUEST_REGISTERS.flatMap(([field, block, words]) => Array.from({ length: words }, (_, i) => [OFFSET[field] / 4 + i, block / 4 + i]).flat()),
);
