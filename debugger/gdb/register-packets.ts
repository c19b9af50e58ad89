/** g, G, p and P: all registers in the order of the target description, or one by its number. */
import { DebugError, type DebugTarget } from '../target';
import { bytesOf, littleEndianHex, littleEndianValue, parseCount } from './hex';
import { GDB_REGISTERS, type GdbRegister } from './target-description';

const encode = (register: GdbRegister, target: DebugTarget): string => littleEndianHex(register.read(target), register.bits / 8);

function numbered(text: string): GdbRegister {
  const register = GDB_REGISTERS.at(parseCount(text));
  if (register === undefined) throw new DebugError(`there is no register ${text}: numbers go to ${(GDB_REGISTERS.length - 1).toString(16)}`);
  return register;
}

export const readAll = (target: DebugTarget): string => GDB_REGISTERS.map((r) => encode(r, target)).join('');

export const readOne = (target: DebugTarget, number: string): string => encode(numbered(number), target);

export function writeOne(target: DebugTarget, number: string, value: string): void {
  const register = numbered(number);
  const bytes = bytesOf(value);
  if (bytes.length !== register.bits / 8) throw new DebugError(`${register.name} has ${register.bits / 8} bytes, not ${bytes.length}`);
  register.write(target, littleEndianValue(bytes));
}

/** Writes those that differ: writing drops the future of a run, and not every register takes every value. */
export function writeAll(target: DebugTarget, text: string): void {
  const bytes = bytesOf(text);
  const whole = GDB_REGISTERS.reduce((size, r) => size + r.bits / 8, 0);
  if (bytes.length !== whole) throw new DebugError(`the registers have ${whole} bytes, not ${bytes.length}`);
  let at = 0;
  for (const register of GDB_REGISTERS) {
    const value = littleEndianValue(bytes.subarray(at, (at += register.bits / 8)));
    if (BigInt.asUintN(register.bits, register.read(target)) !== value) register.write(target, value);
  }
}
