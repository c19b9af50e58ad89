/** The VMCS or the VMCB of the guest by field names, looked at in memory: no VMREAD, no effect. */
import type { Guest } from '../hypervisor/guest';
import { FIELDS as VMCB_FIELDS, type FieldDescription } from '../svm/vmcb/fields';
import { FIELD_NAMES as VMCS_FIELD_NAMES, FieldType, VMCS, typeOf, type FieldName } from '../vmx/vmcs/fields';
import { OFFSET, accessBits, fieldNumber } from '../vmx/vmcs/layout';
import { DebugError } from './target';

export interface ControlField {
  readonly name: string;
  /** The area that the manual puts it in. */
  readonly area: string;
  readonly bits: number;
  /** Of the field in its region. */
  readonly offset: number;
}

const VMCS_AREAS = {
  [FieldType.GuestState]: 'guest-state area',
  [FieldType.HostState]: 'host-state area',
  [FieldType.Control]: 'control fields',
  [FieldType.ReadOnlyData]: 'VM-exit information fields',
} as const satisfies Record<FieldType, string>;

const vmcsField = (name: FieldName): ControlField => ({ name, area: VMCS_AREAS[typeOf(VMCS[name])], bits: accessBits(VMCS[name]), offset: OFFSET[name] });
const vmcbField = ({ name, area, bits, offset }: FieldDescription): ControlField => ({
  name,
  area: area === 'control' ? 'control area' : 'state-save area',
  bits,
  offset,
});

export class ControlStructure {
  readonly kind: 'VMCS' | 'VMCB';
  readonly fields: readonly ControlField[];
  private readonly byName: ReadonlyMap<string, ControlField>;

  constructor(private readonly guest: Guest) {
    const { vmx } = guest.machine;
    this.kind = vmx !== undefined ? 'VMCS' : 'VMCB';
    this.fields =
      vmx !== undefined ? VMCS_FIELD_NAMES.filter((name) => vmx.capabilities.fields[fieldNumber(OFFSET[name])]).map(vmcsField) : VMCB_FIELDS.map(vmcbField);
    this.byName = new Map(this.fields.map((f) => [f.name, f]));
  }

  /** Throws DebugError for a name that is no field of this processor. */
  field(name: string): ControlField {
    const field = this.byName.get(name.toUpperCase().replace(/-/g, '_'));
    if (field !== undefined) return field;
    const known = this.fields.filter((f) => f.name.includes(name.toUpperCase())).map((f) => f.name);
    const hint = known.length > 0 && known.length < 8 ? `; there are ${known.join(', ')}` : '';
    throw new DebugError(`this processor's ${this.kind} has no field "${name}"${hint}`);
  }

  /** Host-physical address of the current one; throws DebugError when there is none. */
  get address(): number {
    const { vmx, svm } = this.guest.machine;
    if (vmx === undefined && svm === undefined) throw new DebugError('the processor of this machine has neither VT-x nor AMD-V, so there is no VMCS or VMCB');
    const address = vmx !== undefined ? vmx.vmcs.pointer : svm!.vmcbAddress;
    if (address < 0) throw new DebugError(`no ${this.kind} is current yet`);
    return address;
  }

  read({ offset, bits }: ControlField): bigint {
    const bytes = this.guest.machine.memory.readBytes(this.address + offset, Math.ceil(bits / 8));
    let value = 0n;
    for (let i = bytes.length - 1; i >= 0; i--) value = (value << 8n) | BigInt(bytes[i]);
    return value;
  }
}
