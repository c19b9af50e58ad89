/** By which names an APIC is called: SDM "Local APIC ID", "Logical Destination Mode", "x2APIC State Transitions". */
import { BROADCAST32, BROADCAST8, matchesX2apic, matchesXapic, x2apicLogicalId } from './destination';

const FLAT = 0xffff_ffff;

export class ApicIdentity {
  /** Of xAPIC mode, where software may change it. */
  id: number;
  ldr = 0;
  private format = FLAT;

  /** @param initial the x2APIC id. */
  constructor(
    private readonly initial: number,
    private readonly x2apic: () => boolean,
  ) {
    this.id = initial;
  }

  reset(): void {
    this.id = this.initial;
    this.ldr = this.x2apic() ? x2apicLogicalId(this.initial) : 0;
    this.format = FLAT;
  }

  /** "State Changes From xAPIC Mode to x2APIC Mode": id and LDR are not preserved. */
  enterX2apic(): void {
    this.id = this.initial;
    this.ldr = x2apicLogicalId(this.initial);
  }

  get idRegister(): number {
    return this.x2apic() ? this.initial : this.id << 24;
  }
  get dfr(): number {
    return this.format;
  }
  /** Only the model can be chosen. */
  set dfr(value: number) {
    this.format = (value | 0x0fff_ffff) >>> 0;
  }

  /** Is a message to `destination` for this processor? `wide`: the 32 bits of an x2APIC, otherwise the 8 bits of the bus. */
  matches(destination: number, logical: boolean, wide: boolean): boolean {
    if (destination === (wide ? BROADCAST32 : BROADCAST8)) return true;
    return this.x2apic() ? matchesX2apic(destination, logical, this.initial, this.ldr) : matchesXapic(destination, logical, this.id, this.ldr, this.format);
  }

  saveState(): { id: number; ldr: number; dfr: number } {
    return { id: this.id, ldr: this.ldr, dfr: this.format };
  }
  restoreState({ id, ldr, dfr }: { readonly id: number; readonly ldr: number; readonly dfr: number }): void {
    this.id = id;
    this.ldr = ldr;
    this.format = dfr;
  }
}
