/** The LPC interface bridge of an ICH9, 8086:2918 at 00:1F.0, as firmware leaves it: fixed decode ranges and PCI interrupt routing. */
import type { InterruptLine } from '../bus';
import { PciDevice, type PciDeviceState } from './pci-device';

const PMBASE = 0x40;
const ACPI_CNTL = 0x44;
/** ACPI_EN; SCI_IRQ_SEL = 0 is IRQ9. */
const ACPI_EN = 0x80;
/** PIRQA-D_ROUT and PIRQE-H_ROUT. */
const PIRQ_ROUT = [0x60, 0x61, 0x62, 0x63, 0x68, 0x69, 0x6a, 0x6b];
const SIRQ_CNTL = 0x64;
/** Bit 7 set: the PIRQ goes to the I/O APIC only. Bits 3:0: ISA interrupt. */
const IRQEN = 0x80;
const IR = 0x0f;
/** "Reserved" values of IR: 0, 1, 2, 8, 13. */
const ROUTABLE = [3, 4, 5, 6, 7, 9, 10, 11, 12, 14, 15];
const GEN_PMCON_1 = 0xa0;
const RCBA = 0xf0;
const RCBA_ENABLE = 1;

/** Chipset registers of the root complex: nothing of them is modelled, the range only stays free. */
export const RCBA_BASE = 0xfed1_c000;
export const RCBA_SIZE = 0x4000;
/** ISA interrupts that PIRQA#-PIRQD# have for systems without I/O APIC. */
export const PIRQ_ISA = [10, 11, 10, 11] as const;

export interface LpcBridgeState extends PciDeviceState {
  /** Of PIRQA# to PIRQH#. */
  levels: boolean[];
}

export interface LpcBridgeOptions {
  readonly pmBase: number;
  /** I/O APIC inputs 16 to 23. */
  readonly apicInputs: readonly InterruptLine[];
  /** A source on ISA interrupt `irq` of the 8259s. */
  readonly isaSource: (irq: number) => InterruptLine;
}

export class LpcBridge extends PciDevice {
  /** PIRQA# to PIRQH#. */
  readonly pirqs: readonly InterruptLine[];
  private readonly levels = PIRQ_ROUT.map(() => false);
  /** By PIRQ, then by ISA interrupt. */
  private readonly isa: readonly ReadonlyMap<number, InterruptLine>[];

  constructor(options: LpcBridgeOptions) {
    super({ vendor: 0x8086, device: 0x2918, classCode: 0x06_0100, revision: 2, multifunction: true });
    this.set32(PMBASE, options.pmBase + 1);
    this.config[ACPI_CNTL] = ACPI_EN;
    this.config[SIRQ_CNTL] = 0x10;
    this.allow16(GEN_PMCON_1, 0x0008);
    PIRQ_ROUT.forEach((register, i) => {
      this.config[register] = PIRQ_ISA[i] ?? IRQEN;
      this.allow(register, IRQEN | IR);
    });
    this.set32(RCBA, RCBA_BASE + RCBA_ENABLE);
    this.isa = PIRQ_ROUT.map(() => new Map(ROUTABLE.map((irq) => [irq, options.isaSource(irq)])));
    this.pirqs = PIRQ_ROUT.map((_, i) => ({
      set: (level) => {
        this.levels[i] = level;
        options.apicInputs[i].set(level);
        this.driveIsa(i);
      },
    }));
  }

  protected override configWritten(offset: number, size: number): void {
    super.configWritten(offset, size);
    PIRQ_ROUT.forEach((_, i) => this.driveIsa(i));
  }

  private driveIsa(pirq: number): void {
    const route = this.config[PIRQ_ROUT[pirq]];
    for (const [irq, line] of this.isa[pirq]) line.set(this.levels[pirq] && (route & IRQEN) === 0 && (route & IR) === irq);
  }

  override saveState(): LpcBridgeState {
    return { ...super.saveState(), levels: [...this.levels] };
  }

  override restoreState(state: PciDeviceState): void {
    super.restoreState(state);
    (state as LpcBridgeState).levels.forEach((level, i) => (this.levels[i] = level));
    PIRQ_ROUT.forEach((_, i) => this.driveIsa(i));
  }
}
