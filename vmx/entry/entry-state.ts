import type { LinearAddressWidth } from '../../cpu/canonical';
import { supportedEfer } from '../../cpu/system/control-state';
import type { VmxCapabilities } from '../capabilities';
import type { FieldName } from '../vmcs/fields';
import { OFFSET } from '../vmcs/layout';
import type { Vmx } from '../vmx';
import type { EntryState } from './check';

/** The current VMCS and its processor, as the rules of VM entry see them. */
export class VmcsEntryState implements EntryState {
  constructor(private readonly vmx: Vmx) {}

  low(field: FieldName): number {
    return this.vmx.vmcs.low(OFFSET[field]);
  }
  high(field: FieldName): number {
    return this.vmx.vmcs.high(OFFSET[field]);
  }
  read(field: FieldName): bigint {
    return this.vmx.vmcs.value(OFFSET[field]);
  }
  memory32(physicalAddress: number): number {
    return this.vmx.cpu.memory.read32(physicalAddress);
  }

  get capabilities(): VmxCapabilities {
    return this.vmx.capabilities;
  }
  get physicalAddressWidth(): number {
    return this.vmx.cpu.profile.physicalAddressWidth;
  }
  get eferBits(): number {
    return supportedEfer(this.vmx.cpu);
  }
  get linearAddressWidth(): LinearAddressWidth {
    return this.vmx.cpu.linearAddressWidth;
  }
  get longMode(): boolean {
    return this.vmx.cpu.longMode;
  }
  get vmcsPointer(): number {
    return this.vmx.vmcs.pointer;
  }
}
