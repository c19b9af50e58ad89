/** VMREAD and VMWRITE. */
import { transition } from '../operation';
import { GROUPS_READING } from '../entry/groups';
import { FieldType, VMCS, isHighAccess, typeOf } from '../vmcs/fields';
import { OFFSET_BY_ENCODING, accessBits, fieldNumber } from '../vmcs/layout';
import type { Vmx } from '../vmx';
import { VM_SUCCEED, VmInstructionError, type VmResult } from './result';

/** Offset in the region of a component that exists, or 0. */
export function componentOffset(vmx: Vmx, encoding: number): number {
  const offset = encoding < OFFSET_BY_ENCODING.length ? OFFSET_BY_ENCODING[encoding] : 0;
  return offset !== 0 && vmx.capabilities.fields[fieldNumber(offset & ~7)] ? offset : 0;
}

export interface VmreadResult {
  readonly result: VmResult;
  /** 0 when the instruction failed. */
  readonly value: bigint;
}

/** SDM "VMREAD". @param encoding the register source operand: a safe integer. */
export function vmread(vmx: Vmx, encoding: number): VmreadResult {
  const next = transition(vmx.state, 'VMREAD');
  if (next.kind === 'fail-invalid') return { result: vmx.complete(next), value: 0n };
  const offset = componentOffset(vmx, encoding);
  if (offset === 0) return { result: vmx.fail(VmInstructionError.UnsupportedComponent), value: 0n };
  vmx.observer.vmread?.(vmx, encoding);
  return { result: vmx.complete(VM_SUCCEED), value: fetch(vmx, encoding, offset) };
}

/** The component at `offset` as VMREAD zero-extends it. */
export const fetch = (vmx: Vmx, encoding: number, offset: number): bigint =>
  accessBits(encoding) === 64 ? vmx.vmcs.value(offset) : BigInt(vmx.vmcs.low(offset));

/** SDM "VMWRITE": bits beyond the width of the field are dropped. */
export function vmwrite(vmx: Vmx, encoding: number, value: bigint): VmResult {
  const next = transition(vmx.state, 'VMWRITE');
  if (next.kind === 'fail-invalid') return vmx.complete(next);
  const offset = componentOffset(vmx, encoding);
  if (offset === 0) return vmx.fail(VmInstructionError.UnsupportedComponent);
  if (typeOf(encoding) === FieldType.ReadOnlyData && !vmx.capabilities.vmwriteAnyField) return vmx.fail(VmInstructionError.VmwriteReadOnlyComponent);
  store(vmx, encoding, offset, Number(value & 0xffff_ffffn), Number((value >> 32n) & 0xffff_ffffn));
  return vmx.complete(VM_SUCCEED);
}

/** RFLAGS bits that no entry check looks at: the six arithmetic flags, DF, IOPL, NT, RF, AC, ID. */
const UNCHECKED_RFLAGS = 0x0025_7cd5;

/** Writes two words, cut to the width of the field, and notes which entry checks must be made again: those that read a value that changed. */
export function store(vmx: Vmx, encoding: number, offset: number, low: number, high: number): void {
  const { vmcs } = vmx;
  vmx.observer.vmwrite?.(vmx, encoding, low, high);
  vmcs.aboutToWrite();
  const oldLow = vmcs.low(offset);
  let changed: boolean;
  if (isHighAccess(encoding)) {
    vmcs.setLow(offset, low);
    changed = oldLow !== low;
  } else {
    const bits = accessBits(encoding);
    const oldHigh = bits === 64 ? vmcs.high(offset) : 0;
    vmcs.set(offset, bits === 16 ? low & 0xffff : low, bits === 64 ? high : 0);
    changed = ((vmcs.low(offset) ^ oldLow) & (encoding === VMCS.GUEST_RFLAGS ? ~UNCHECKED_RFLAGS : -1)) !== 0 || (bits === 64 && oldHigh !== high);
  }
  if (changed) vmx.passedGroups &= ~GROUPS_READING[fieldNumber(offset & ~7)];
}

/** @throws Error without a current VMCS or for an unsupported component: a bug of root-mode TypeScript. */
export function requireComponent(vmx: Vmx, encoding: number): number {
  const offset = vmx.vmcs.present ? componentOffset(vmx, encoding) : 0;
  if (offset !== 0) return offset;
  const why = vmx.vmcs.present ? 'this processor has none of that encoding' : 'no VMCS is current';
  throw new Error(`VMCS component 0x${encoding.toString(16)}: ${why}`);
}
