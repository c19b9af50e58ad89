/** Exit qualifications and instruction information. SDM "Basic VM-Exit Information" and "Information for VM Exits Due to Instruction Execution". */
import type { Cpu } from '../../cpu/cpu';
import { NO_REGISTER, RIP_BASE, type Insn } from '../../cpu/decoder/insn';

/** "Exit Qualification for Control-Register Accesses", bits 5:4. */
export enum CrAccess {
  MovTo = 0,
  MovFrom = 1,
  Clts = 2,
  Lmsw = 3,
}

export const crQualification = (register: number, access: CrAccess, gpr: number): number => register | (access << 4) | (gpr << 8);

/** LMSW: bit 6 says memory operand, 31:16 the source. */
export const lmswQualification = (memory: boolean, source: number): number => ((CrAccess.Lmsw << 4) | (memory ? 0x40 : 0) | ((source & 0xffff) << 16)) >>> 0;

/** "Exit Qualification for MOV DR": 2:0 register, 4 direction (1: from), 11:8 general register. */
export const drQualification = (register: number, from: boolean, gpr: number): number => register | (from ? 0x10 : 0) | (gpr << 8);

/** "Exit Qualification for I/O Instructions". */
export function ioQualification(port: number, bytes: number, input: boolean, string: boolean, rep: boolean, immediate: boolean): number {
  return ((bytes - 1) | (input ? 8 : 0) | (string ? 0x10 : 0) | (rep ? 0x20 : 0) | (immediate ? 0x40 : 0) | (port << 16)) >>> 0;
}

/** "Exit Qualification for Task Switches": 15:0 selector, 31:30 source (0 CALL, 1 IRET, 2 JMP, 3 IDT gate). */
export const taskSwitchQualification = (selector: number, source: number): number => ((selector & 0xffff) | (source << 30)) >>> 0;

/**
 * For instructions with a memory operand: the displacement, sign-extended; with RIP-relative addressing the RIP behind the
 * instruction is added.
 */
export function displacement(cpu: Cpu, i: Insn): bigint {
  const value = i.base === RIP_BASE ? BigInt(i.disp) + cpu.nextRip() : BigInt(i.disp);
  return BigInt.asUintN(cpu.codeSize === 64 ? 64 : 32, value);
}

const addressSizeCode = (bits: 16 | 32 | 64): number => (bits === 16 ? 0 : bits === 32 ? 1 : 2);

/** What the memory-operand formats share: 1:0 scaling, 9:7 address size, 17:15 segment, 21:18 index (22: none), 26:23 base (27: none). */
function memoryOperand(i: Insn): number {
  const index = i.index === NO_REGISTER ? 1 << 22 : i.scale | (i.index << 18);
  const base = i.base === NO_REGISTER || i.base === RIP_BASE ? 1 << 27 : i.base << 23;
  return index | base | (addressSizeCode(i.addressSize) << 7) | (i.segment << 15);
}
const REGISTER_OPERAND = 1 << 10;

/** Register number as the format has it; AH-BH do not occur. */
const register = (r: number): number => r & 15;

/** VMCLEAR, VMPTRLD, VMPTRST, VMXON, XRSTORS, XSAVES. */
export const memoryInformation = (i: Insn): number => memoryOperand(i) >>> 0;

/** INVEPT, INVPCID, INVVPID: 31:28 is the register operand. */
export const invalidationInformation = (i: Insn): number => (memoryOperand(i) | (register(i.dst) << 28)) >>> 0;

/** VMREAD, VMWRITE: one operand is a register (31:28), the other one a register (6:3, bit 10 set) or memory. */
export function vmreadInformation(i: Insn): number {
  const read = i.op === 'VMREAD';
  const encodingRegister = read ? i.src : i.dst;
  const other = read ? i.dst : i.src;
  return ((i.hasMemory ? memoryOperand(i) : REGISTER_OPERAND | (register(other) << 3)) | (register(encodingRegister) << 28)) >>> 0;
}

/** LIDT, LGDT, SIDT, SGDT: bit 11 operand size (1: 32 bits), 29:28 which. */
export function descriptorTableInformation(i: Insn): number {
  const identity = { SGDT: 0, SIDT: 1, LGDT: 2, LIDT: 3 }[i.op] ?? 0;
  return (memoryOperand(i) | (i.operandSize === 16 ? 0 : 1 << 11) | (identity << 28)) >>> 0;
}

/** LLDT, LTR, SLDT, STR: 6:3 register operand (bit 10 set) or memory, 29:28 which. */
export function systemSegmentInformation(i: Insn): number {
  const identity = { SLDT: 0, STR: 1, LLDT: 2, LTR: 3 }[i.op] ?? 0;
  return ((i.hasMemory ? memoryOperand(i) : REGISTER_OPERAND | (register(i.dst) << 3)) | (identity << 28)) >>> 0;
}

/** RDRAND, RDSEED: 6:3 destination, 12:11 operand size (0: 16, 1: 32, 2: 64 bits). */
export const randomInformation = (i: Insn): number => (register(i.dst) << 3) | (addressSizeCode(i.operandSize) << 11);

/** INS, OUTS: 9:7 address size, 17:15 segment (OUTS). */
export const stringIoInformation = (i: Insn): number => (addressSizeCode(i.addressSize) << 7) | (i.segment << 15);
