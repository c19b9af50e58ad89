/** VMCS components by name, for code that reads and writes many of them. */
import { VMCS, type FieldName } from '../../vmx/vmcs/fields';
import type { Vmx } from '../../vmx/vmx';

export class Components {
  constructor(readonly vmx: Vmx) {}

  set32(name: FieldName, value: number): void {
    this.vmx.vmwrite32(VMCS[name], value >>> 0);
  }
  set64(name: FieldName, value: bigint): void {
    this.vmx.vmwrite(VMCS[name], BigInt.asUintN(64, value));
  }
  get32(name: FieldName): number {
    return this.vmx.vmread32(VMCS[name]);
  }
  get64(name: FieldName): bigint {
    return this.vmx.vmread(VMCS[name]).value;
  }
}

const field = (name: string): number => VMCS[name as FieldName];
/** Encodings of selector, limit, access rights, base of each segment register, in the order of Segment. */
export const SEGMENT_FIELDS = (['ES', 'CS', 'SS', 'DS', 'FS', 'GS', 'LDTR', 'TR'] as const).map(
  (n) => [field(`GUEST_${n}_SELECTOR`), field(`GUEST_${n}_LIMIT`), field(`GUEST_${n}_ACCESS_RIGHTS`), field(`GUEST_${n}_BASE`)] as const,
);
