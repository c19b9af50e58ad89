/** Registers as GDB numbers and types them, and the XML that tells it so (GDB manual, "i386 Features"). */
import type { DebugTarget } from '../target';
import { abridgedTags, wholeTags } from './tag-word';

export interface GdbRegister {
  readonly name: string;
  readonly bits: number;
  readonly type: string;
  /** Outside "general" and the groups that follow from types, GDB shows it on demand only. */
  readonly group?: 'float' | 'system';
  read(target: DebugTarget): bigint;
  write(target: DebugTarget, value: bigint): void;
}

interface Flags {
  readonly id: string;
  readonly bits: 32 | 64;
  /** With their first and last bit. */
  readonly fields: readonly (readonly [name: string, first: number, last: number])[];
}

interface Feature {
  readonly name: string;
  readonly flags: readonly Flags[];
  /** XML of further types. */
  readonly types: string;
  readonly registers: readonly GdbRegister[];
}

const bits = (names: Readonly<Record<number, string>>): Flags['fields'] => Object.entries(names).map(([bit, name]) => [name, Number(bit), Number(bit)]);

/** A register of the target, by whatever name GDB knows it. */
const register = (name: string, size: number, type: string, from = name, group?: GdbRegister['group']): GdbRegister => ({
  ...{ name, bits: size, type, group },
  read: (target) => target.readRegister(from),
  write: (target, value) => target.writeRegister(from, value),
});

/** Some bits of a register of the target. */
function part(name: string, from: string, shift: bigint, width: bigint): GdbRegister {
  const mask = ((1n << width) - 1n) << shift;
  return {
    ...{ name, bits: 32, type: 'int', group: 'float' },
    read: (target) => (target.readRegister(from) & mask) >> shift,
    write: (target, value) => target.writeRegister(from, (target.readRegister(from) & ~mask) | ((value << shift) & mask)),
  };
}

const TAG_WORD: GdbRegister = {
  ...{ name: 'ftag', bits: 32, type: 'int', group: 'float' },
  read: (target) => BigInt(wholeTags(target)),
  write: (target, value) => target.writeRegister('ftw', BigInt(abridgedTags(Number(value & 0xffffn)))),
};

const GENERAL = ['rax', 'rbx', 'rcx', 'rdx', 'rsi', 'rdi', 'rbp', 'rsp', 'r8', 'r9', 'r10', 'r11', 'r12', 'r13', 'r14', 'r15'];
const POINTERS = new Set(['rbp', 'rsp']);
const range = <T>(count: number, make: (i: number) => T): T[] => Array.from({ length: count }, (_, i) => make(i));

const EFLAGS: Flags = {
  ...{ id: 'i386_eflags', bits: 32 },
  fields: [
    ...bits({ 0: 'CF', 2: 'PF', 4: 'AF', 6: 'ZF', 7: 'SF', 8: 'TF', 9: 'IF', 10: 'DF', 11: 'OF' }),
    ['IOPL', 12, 13],
    ...bits({ 14: 'NT', 16: 'RF', 17: 'VM', 18: 'AC', 19: 'VIF', 20: 'VIP', 21: 'ID' }),
  ],
};
const MXCSR: Flags = {
  ...{ id: 'i386_mxcsr', bits: 32 },
  fields: [
    ...bits({ 0: 'IE', 1: 'DE', 2: 'ZE', 3: 'OE', 4: 'UE', 5: 'PE', 6: 'DAZ', 7: 'IM', 8: 'DM', 9: 'ZM', 10: 'OM', 11: 'UM', 12: 'PM' }),
    ['RC', 13, 14],
    ['FZ', 15, 15],
  ],
};
const CR0: Flags = {
  ...{ id: 'x86_cr0', bits: 64 },
  fields: bits({ 0: 'PE', 1: 'MP', 2: 'EM', 3: 'TS', 4: 'ET', 5: 'NE', 16: 'WP', 18: 'AM', 29: 'NW', 30: 'CD', 31: 'PG' }),
};
const CR4: Flags = {
  ...{ id: 'x86_cr4', bits: 64 },
  fields: bits({
    ...{ 0: 'VME', 1: 'PVI', 2: 'TSD', 3: 'DE', 4: 'PSE', 5: 'PAE', 6: 'MCE', 7: 'PGE', 8: 'PCE', 9: 'OSFXSR', 10: 'OSXMMEXCPT', 11: 'UMIP', 12: 'LA57' },
    ...{ 13: 'VMXE', 14: 'SMXE', 16: 'FSGSBASE', 17: 'PCIDE', 18: 'OSXSAVE', 20: 'SMEP', 21: 'SMAP', 22: 'PKE' },
  }),
};
const EFER: Flags = { id: 'x86_efer', bits: 64, fields: bits({ 0: 'SCE', 8: 'LME', 10: 'LMA', 11: 'NXE', 12: 'SVME', 14: 'FFXSR' }) };

/** Lanes of an XMM register, as GDB's own description has them. */
const LANES: readonly (readonly [field: string, type: string, count: number])[] = [
  ['v4_float', 'ieee_single', 4],
  ['v2_double', 'ieee_double', 2],
  ['v16_int8', 'int8', 16],
  ['v8_int16', 'int16', 8],
  ['v4_int32', 'int32', 4],
  ['v2_int64', 'int64', 2],
];
const VEC128 = [
  ...LANES.map(([field, type, count]) => `<vector id="${field}_lanes" type="${type}" count="${count}"/>`),
  '<union id="vec128">',
  ...LANES.map(([field]) => `<field name="${field}" type="${field}_lanes"/>`),
  '<field name="uint128" type="uint128"/>',
  '</union>',
].join('\n');

export const FEATURES: readonly Feature[] = [
  {
    ...{ name: 'org.gnu.gdb.i386.core', flags: [EFLAGS], types: '' },
    registers: [
      ...GENERAL.map((name) => register(name, 64, POINTERS.has(name) ? 'data_ptr' : 'int64')),
      register('rip', 64, 'code_ptr'),
      register('eflags', 32, 'i386_eflags', 'rflags'),
      ...['cs', 'ss', 'ds', 'es', 'fs', 'gs'].map((name) => register(name, 32, 'int')),
      ...range(8, (i) => register(`st${i}`, 80, 'i387_ext')),
      register('fctrl', 32, 'int', 'fcw', 'float'),
      register('fstat', 32, 'int', 'fsw', 'float'),
      TAG_WORD,
      // As FXSAVE has them: the instruction and operand pointers, in two parts each.
      part('fiseg', 'fip', 32n, 16n),
      part('fioff', 'fip', 0n, 32n),
      part('foseg', 'fdp', 32n, 16n),
      part('fooff', 'fdp', 0n, 32n),
      register('fop', 32, 'int', 'fop', 'float'),
    ],
  },
  {
    ...{ name: 'org.gnu.gdb.i386.sse', flags: [MXCSR], types: VEC128 },
    registers: [...range(16, (i) => register(`xmm${i}`, 128, 'vec128')), register('mxcsr', 32, 'i386_mxcsr')],
  },
  {
    ...{ name: 'org.gnu.gdb.i386.segments', flags: [], types: '' },
    registers: [register('fs_base', 64, 'int64'), register('gs_base', 64, 'int64')],
  },
  {
    ...{ name: 'vmexit.system', flags: [CR0, CR4, EFER], types: '' },
    registers: [
      register('k_gs_base', 64, 'int64'),
      register('cr0', 64, 'x86_cr0'),
      register('cr2', 64, 'data_ptr'),
      register('cr3', 64, 'int64'),
      register('cr4', 64, 'x86_cr4'),
      register('cr8', 32, 'int'),
      register('efer', 64, 'x86_efer'),
      ...['ldtr', 'tr'].map((name) => register(name, 32, 'int', name, 'system')),
      ...['gdtr', 'idtr'].flatMap((name) => [
        register(`${name}_base`, 64, 'data_ptr', `${name}.base`, 'system'),
        register(`${name}_limit`, 32, 'int', `${name}.limit`, 'system'),
      ]),
      ...['dr0', 'dr1', 'dr2', 'dr3', 'dr6', 'dr7', 'xcr0'].map((name) => register(name, 64, 'int64', name, 'system')),
    ],
  },
  {
    ...{ name: 'vmexit.msr', flags: [], types: '' },
    registers: ['star', 'lstar', 'cstar', 'sfmask', 'pat', 'sysenter_cs', 'sysenter_esp', 'sysenter_eip'].map((name) =>
      register(name, 64, 'int64', name, 'system'),
    ),
  },
];

/** By GDB's number. */
export const GDB_REGISTERS: readonly GdbRegister[] = FEATURES.flatMap((f) => f.registers);

const flagsXml = ({ id, bits: size, fields }: Flags): string =>
  [`<flags id="${id}" size="${size / 8}">`, ...fields.map(([name, first, last]) => `<field name="${name}" start="${first}" end="${last}"/>`), '</flags>'].join(
    '\n',
  );

const registerXml = ({ name, bits: size, type, group }: GdbRegister): string =>
  `<reg name="${name}" bitsize="${size}" type="${type}"${group === undefined ? '' : ` group="${group}"`}/>`;

const featureXml = ({ name, flags, types, registers }: Feature): string =>
  [`<feature name="${name}">`, ...flags.map(flagsXml), ...(types === '' ? [] : [types]), ...registers.map(registerXml), '</feature>'].join('\n');

export const TARGET_XML = [
  '<?xml version="1.0"?>',
  '<!DOCTYPE target SYSTEM "gdb-target.dtd">',
  '<target version="1.0">',
  '<architecture>i386:x86-64</architecture>',
  ...FEATURES.map(featureXml),
  '</target>',
  '',
].join('\n');
