/** IA32_APIC_BASE: SDM "Local APIC Status and Location", "x2APIC State Transitions". */
import { APIC_DEFAULT_BASE, ApicBase } from './registers';

export interface ApicBaseOptions {
  readonly x2apic: boolean;
  readonly bootstrapProcessor: boolean;
  readonly physicalAddressWidth: number;
}

type ApicMode = 'disabled' | 'xapic' | 'x2apic';

/** "x2APIC State Transitions": where each mode may go by a write. Only reset leads from x2APIC back to xAPIC without being disabled. */
const TRANSITIONS: Readonly<Record<ApicMode, readonly ApicMode[]>> = {
  disabled: ['disabled', 'xapic'],
  xapic: ['disabled', 'xapic', 'x2apic'],
  x2apic: ['disabled', 'x2apic'],
};

/** EN = 0 with EXTD = 1 is no state. */
function modeOf(value: bigint): ApicMode | undefined {
  if ((value & ApicBase.EN) === 0n) return (value & ApicBase.EXTD) === 0n ? 'disabled' : undefined;
  return (value & ApicBase.EXTD) === 0n ? 'xapic' : 'x2apic';
}

export class ApicBaseRegister {
  private register = 0n;
  private mode: ApicMode = 'xapic';
  private readonly writable: bigint;

  constructor(private readonly options: ApicBaseOptions) {
    const address = (1n << BigInt(options.physicalAddressWidth)) - (1n << ApicBase.ADDRESS_SHIFT);
    this.writable = address | ApicBase.EN | ApicBase.BSP | (options.x2apic ? ApicBase.EXTD : 0n);
    this.reset();
  }

  reset(): void {
    this.restore(BigInt(APIC_DEFAULT_BASE) | ApicBase.EN | (this.options.bootstrapProcessor ? ApicBase.BSP : 0n));
  }

  restore(value: bigint): void {
    this.register = value;
    this.mode = modeOf(value) ?? 'disabled';
  }

  get value(): bigint {
    return this.register;
  }
  get enabled(): boolean {
    return this.mode !== 'disabled';
  }
  get x2apic(): boolean {
    return this.mode === 'x2apic';
  }

  /** Where the registers stand in memory, undefined when they do not. */
  get mmio(): number | undefined {
    return this.mode === 'xapic' ? Number((this.register >> ApicBase.ADDRESS_SHIFT) << ApicBase.ADDRESS_SHIFT) : undefined;
  }

  /** False: #GP(0), nothing changed. */
  write(value: bigint): boolean {
    if ((value & ~this.writable) !== 0n) return false;
    const mode = modeOf(value);
    if (mode === undefined || !TRANSITIONS[this.mode].includes(mode)) return false;
    this.register = value;
    this.mode = mode;
    return true;
  }
}
