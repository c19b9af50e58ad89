/** The VMCB's layout against the manual written down another way: as the sizes of its fields and gaps, and as the words of its clean-bit figure. */
import { CleanBit, SAVE_AREA, SegmentOffset, VMCB, VMCB_SIZE, type VmcbField } from '../../../svm/vmcb/layout';
import { FIELDS, FIELD_NAMES, describeField, fieldAt, fieldsOfCleanBit } from '../../../svm/vmcb/fields';

/** [field or gap, bytes] in address order; a name in brackets is reserved. */
type Run = readonly (readonly [name: VmcbField | `[${string}]`, bytes: number])[];

const CONTROL_AREA: Run = [
  ['CR_READ_INTERCEPTS', 2],
  ['CR_WRITE_INTERCEPTS', 2],
  ['DR_READ_INTERCEPTS', 2],
  ['DR_WRITE_INTERCEPTS', 2],
  ['EXCEPTION_INTERCEPTS', 4],
  ['INTERCEPTS_3', 4],
  ['INTERCEPTS_4', 4],
  ['INTERCEPTS_5', 4],
  ['[018h-03Bh]', 36],
  ['PAUSE_FILTER_THRESHOLD', 2],
  ['PAUSE_FILTER_COUNT', 2],
  ['IOPM_BASE_PA', 8],
  ['MSRPM_BASE_PA', 8],
  ['TSC_OFFSET', 8],
  ['GUEST_ASID', 4],
  ['TLB_CONTROL', 1],
  ['ERAP_CONTROL', 1],
  ['[05Eh]', 2],
  ['V_INTR', 4],
  ['V_INTR_VECTOR', 1],
  ['[065h]', 3],
  ['INTERRUPT_SHADOW', 8],
  ['EXITCODE', 8],
  ['EXITINFO1', 8],
  ['EXITINFO2', 8],
  ['EXITINTINFO', 8],
  ['NESTED_CONTROL', 8],
  ['AVIC_APIC_BAR', 8],
  ['GHCB_PA', 8],
  ['EVENTINJ', 8],
  ['N_CR3', 8],
  ['VIRTUALIZATION_ENABLE', 8],
  ['VMCB_CLEAN', 4],
  ['[0C4h]', 4],
  ['NRIP', 8],
  ['BYTES_FETCHED', 1],
  ['INSTRUCTION_BYTES', 15],
  ['AVIC_BACKING_PAGE', 8],
  ['[0E8h]', 8],
  ['AVIC_LOGICAL_TABLE', 8],
  ['AVIC_PHYSICAL_TABLE', 8],
  ['[100h]', 8],
  ['VMSA_POINTER', 8],
  ['[110h]', 16],
  ['BUS_LOCK_COUNTER', 2],
  ['[122h]', 22],
  ['ALLOWED_SEV_FEATURES', 8],
  ['GUEST_SEV_FEATURES', 8],
  ['[148h-3DFh]', 664],
  ['RESERVED_FOR_HOST', 32],
];

const segment = (r: 'ES' | 'CS' | 'SS' | 'DS' | 'FS' | 'GS' | 'LDTR' | 'TR'): Run => [
  [`${r}_SELECTOR`, 2],
  [`${r}_ATTRIB`, 2],
  [`${r}_LIMIT`, 4],
  [`${r}_BASE`, 8],
];
const table = (r: 'GDTR' | 'IDTR'): Run => [
  [`[${r} selector]`, 2],
  [`[${r} attrib]`, 2],
  [`${r}_LIMIT`, 4],
  [`${r}_BASE`, 8],
];
const quadwords = (...names: VmcbField[]): Run => names.map((name) => [name, 8] as const);

const STATE_SAVE_AREA: Run = [
  ...(['ES', 'CS', 'SS', 'DS', 'FS', 'GS'] as const).flatMap(segment),
  ...table('GDTR'),
  ...segment('LDTR'),
  ...table('IDTR'),
  ...segment('TR'),
  ['[0A0h-0CAh]', 43],
  ['CPL', 1],
  ['[0CCh]', 4],
  ['EFER', 8],
  ['[0D8h-147h]', 112],
  ...quadwords('CR4', 'CR3', 'CR0', 'DR7', 'DR6', 'RFLAGS', 'RIP'),
  ['[180h-1D7h]', 88],
  ...quadwords('RSP', 'S_CET', 'SSP', 'ISST_ADDR', 'RAX', 'STAR', 'LSTAR', 'CSTAR', 'SFMASK', 'KERNEL_GS_BASE'),
  ...quadwords('SYSENTER_CS', 'SYSENTER_ESP', 'SYSENTER_EIP', 'CR2'),
  ['[248h-267h]', 32],
  ...quadwords('G_PAT', 'DBGCTL', 'BR_FROM', 'BR_TO', 'LASTEXCPFROM', 'LASTEXCPTO'),
  ['[298h-2DFh]', 72],
  ['SPEC_CTRL', 8],
];

const area = (run: Run, start: number): [string, number, number][] => {
  let offset = start;
  return run.map(([name, bytes]) => {
    const at = offset;
    offset += bytes;
    return [name, at, bytes];
  });
};
const ALL = [...area(CONTROL_AREA, 0), ...area(STATE_SAVE_AREA, 0x400)];

describe('VMCB layout', () => {
  it('is a page whose first 1024 bytes are the control area', () => {
    expect(VMCB_SIZE).toBe(4096);
    expect(SAVE_AREA).toBe(1024);
    expect(CONTROL_AREA.reduce((sum, [, bytes]) => sum + bytes, 0)).toBe(1024);
  });

  it.each(ALL.filter(([name]) => !name.startsWith('[')))('has %s at %i, %i bytes long', (name, offset, bytes) => {
    const field = describeField(name as VmcbField);
    expect([field.offset, field.bits / 8]).toEqual([offset, bytes]);
    expect(VMCB[name as VmcbField]).toBe(offset);
    expect(field.area).toBe(offset < 1024 ? 'control' : 'save');
  });

  it('has no other field', () =>
    expect([...FIELD_NAMES].sort()).toEqual(
      ALL.map(([name]) => name)
        .filter((n) => !n.startsWith('['))
        .sort(),
    ));

  it('finds the field of every byte, and none in the reserved ones', () => {
    for (const [name, offset, bytes] of ALL) for (let i = 0; i < bytes; i++) expect(fieldAt(offset + i)?.name).toBe(name.startsWith('[') ? undefined : name);
    expect(fieldAt(4095)).toBeUndefined();
  });

  it('keeps every segment register in the same order of parts', () => {
    for (const r of ['ES', 'CS', 'SS', 'DS', 'FS', 'GS', 'LDTR', 'TR'] as const) {
      const base = VMCB[`${r}_SELECTOR`];
      expect([VMCB[`${r}_ATTRIB`] - base, VMCB[`${r}_LIMIT`] - base, VMCB[`${r}_BASE`] - base]).toEqual([2, 4, 8]);
    }
    expect(SegmentOffset).toEqual({ SELECTOR: 0, ATTRIB: 2, LIMIT: 4, BASE: 8 });
  });
});

/** APM figure "VMCB Clean Field": the bits and the words beside them. */
const CLEAN_FIELD: readonly (readonly [bit: number, mnemonic: keyof typeof CleanBit, fields: readonly RegExp[]])[] = [
  [0, 'INTERCEPTS', [/INTERCEPTS/, /^TSC_OFFSET$/, /^PAUSE_FILTER/]],
  [1, 'IOPM', [/^IOPM_BASE/, /^MSRPM_BASE/]],
  [2, 'ASID', [/ASID/]],
  [3, 'TPR', [/^V_INTR/]],
  [4, 'NP', [/^N_CR3$/, /^G_PAT$/, /^NESTED_CONTROL$/]],
  [5, 'CRX', [/^CR0$/, /^CR3$/, /^CR4$/, /^EFER$/]],
  [6, 'DRX', [/^DR6$/, /^DR7$/]],
  [7, 'DT', [/^GDTR_/, /^IDTR_/]],
  [8, 'SEG', [/^[CDSE]S_/, /^CPL$/]],
  [9, 'CR2', [/^CR2$/]],
  [10, 'LBR', [/^DBGCTL$/, /^BR_/, /^LASTEXCP/]],
  [11, 'AVIC', [/^AVIC_/]],
  [12, 'CET', [/^S_CET$/, /^SSP$/, /^ISST_ADDR$/]],
];

describe('VMCB clean field', () => {
  it.each(CLEAN_FIELD)('bit %i, %s', (bit, mnemonic, patterns) => {
    expect(CleanBit[mnemonic]).toBe(bit);
    const covered = fieldsOfCleanBit(bit).map((f) => f.name);
    expect(covered).toEqual(FIELD_NAMES.filter((name) => patterns.some((p) => p.test(name))));
  });

  it('covers neither what the manual names as "explicitly not cached" nor what VMLOAD and VMSAVE move', () => {
    const uncached = /^(TLB_CONTROL|INTERRUPT_SHADOW|EXIT|EVENTINJ|RFLAGS|RIP|RSP|RAX|BYTES_FETCHED|INSTRUCTION_BYTES|NRIP|VMCB_CLEAN)/;
    const moved = /^(FS|GS|TR|LDTR)_|^(KERNEL_GS_BASE|STAR|LSTAR|CSTAR|SFMASK|SYSENTER_)/;
    for (const f of FIELDS) if (uncached.test(f.name) || moved.test(f.name)) expect([f.name, f.cleanBit]).toEqual([f.name, undefined]);
  });
});
