/** The two cascaded 8259A interrupt controllers of a PC, with the edge/level control registers (ELCR) of the chipset. */
import type { Stateful } from '../memory/stateful';
import type { InterruptLine, PortBus } from './bus';
import { BytePorts } from './byte-ports';

const ICW1 = { SNGL: 0x02, IC4: 0x01, select: 0x10 } as const;
const ICW4 = { AEOI: 0x02, SFNM: 0x10 } as const;
const OCW3 = { select: 0x08, ESMM: 0x40, SMM: 0x20, POLL: 0x04, RR: 0x02, RIS: 0x01 } as const;
/** OCW2 bits 7:5: R, SL, EOI. */
const OCW2 = {
  rotateInAeoiClear: 0,
  nonSpecificEoi: 1,
  noOperation: 2,
  specificEoi: 3,
  rotateInAeoiSet: 4,
  rotateOnNonSpecificEoi: 5,
  setPriority: 6,
  rotateOnSpecificEoi: 7,
} as const;
const CASCADE = 2;

export interface PicChipState {
  irr: number;
  isr: number;
  imr: number;
  /** Levels of the eight IR inputs. */
  inputs: number;
  /** 1 = level-triggered. */
  elcr: number;
  vectorBase: number;
  lowestPriority: number;
  /** Which ICW the odd port expects: 2, 3, 4, or 0 when the chip is initialised. */
  expectedIcw: number;
  icw1: number;
  autoEoi: boolean;
  rotateInAeoi: boolean;
  specialFullyNested: boolean;
  specialMask: boolean;
  readIsr: boolean;
  poll: boolean;
}

/**
 * One 8259A.
 * DEVIATION: always in 8086 mode, ICW4.uPM is ignored; ICW1.LTIM is ignored as in chipsets with an ELCR.
 */
class PicChip {
  state: PicChipState = {
    irr: 0,
    isr: 0,
    imr: 0xff,
    inputs: 0,
    elcr: 0,
    vectorBase: 0,
    lowestPriority: 7,
    expectedIcw: 0,
    icw1: 0,
    autoEoi: false,
    rotateInAeoi: false,
    specialFullyNested: false,
    specialMask: false,
    readIsr: false,
    poll: false,
  };

  /**
   * @param levelInputs inputs that ignore the edge detector: the master's cascade input simply follows the slave's INT
   * @param writableElcr the ELCR bits that exist
   * @param outputMayChange called after anything that can move INT
   */
  constructor(
    private readonly levelInputs: number,
    private readonly writableElcr: number,
    private readonly outputMayChange: () => void,
  ) {}

  private get levelTriggered(): number {
    return this.state.elcr | this.levelInputs;
  }

  setInput(ir: number, level: boolean): void {
    const s = this.state;
    const bit = 1 << ir;
    const was = (s.inputs & bit) !== 0;
    if (was === level) return;
    s.inputs ^= bit;
    // "In both the edge and level triggered modes the IR inputs must remain high until after the falling edge of the first INTA":
    // a request whose input falls before that is forgotten.
    if (level) s.irr |= bit;
    else s.irr &= ~bit;
    this.outputMayChange();
  }

  /** The request that INT stands for, or -1. Walks from the highest priority down to the first level that is in service. */
  private highestRequest(): number {
    const s = this.state;
    if (s.expectedIcw !== 0) return -1;
    const requests = s.irr & ~s.imr;
    if (requests === 0) return -1;
    const inService = s.specialMask ? s.isr & ~s.imr : s.isr;
    for (let i = 1; i <= 8; i++) {
      const ir = (s.lowestPriority + i) & 7;
      const bit = 1 << ir;
      // Special fully nested mode: a slave in service is not locked out from the master's priority logic.
      const nestedCascade = s.specialFullyNested && (this.levelInputs & bit) !== 0;
      if (inService & bit && !nestedCascade) return -1;
      if (requests & bit) return ir;
      if (inService & bit) return -1;
    }
    return -1;
  }

  get int(): boolean {
    return this.highestRequest() >= 0;
  }

  /** The INTA sequence: the IR level that is now in service, or -1 for a request that has gone ("default IR7"). */
  acknowledge(): number {
    const s = this.state;
    const ir = this.highestRequest();
    if (ir < 0) return -1;
    const bit = 1 << ir;
    s.isr |= bit;
    if ((this.levelTriggered & bit) === 0) s.irr &= ~bit;
    if (s.autoEoi) {
      s.isr &= ~bit;
      if (s.rotateInAeoi) s.lowestPriority = ir;
    }
    this.outputMayChange();
    return ir;
  }

  vector(ir: number): number {
    return this.state.vectorBase | (ir < 0 ? 7 : ir);
  }

  read(odd: boolean): number {
    const s = this.state;
    if (s.poll) {
      // The poll command makes the next read an interrupt acknowledge.
      s.poll = false;
      const ir = this.acknowledge();
      return ir < 0 ? 0 : 0x80 | ir;
    }
    if (odd) return s.imr;
    return s.readIsr ? s.isr : s.irr;
  }

  write(odd: boolean, value: number): void {
    if (!odd && value & ICW1.select) this.initialise(value);
    else if (!odd && value & OCW3.select) this.operationControl3(value);
    else if (!odd) this.operationControl2(value);
    else if (this.state.expectedIcw !== 0) this.initialisationWord(value);
    else this.state.imr = value;
    this.outputMayChange();
  }

  /** ICW1: the edge sense circuit is reset, so an input must make a new low-to-high transition. */
  private initialise(value: number): void {
    const { inputs, elcr, vectorBase } = this.state;
    this.state = {
      irr: inputs & this.levelTriggered,
      isr: 0,
      imr: 0,
      inputs,
      elcr,
      vectorBase,
      lowestPriority: 7,
      expectedIcw: 2,
      icw1: value,
      autoEoi: false,
      rotateInAeoi: false,
      specialFullyNested: false,
      specialMask: false,
      readIsr: false,
      poll: false,
    };
  }

  private initialisationWord(value: number): void {
    const s = this.state;
    const after3 = s.icw1 & ICW1.IC4 ? 4 : 0;
    switch (s.expectedIcw) {
      case 2:
        s.vectorBase = value & 0xf8;
        s.expectedIcw = s.icw1 & ICW1.SNGL ? after3 : 3;
        return;
      case 3: // who is cascaded where is soldered on this board
        s.expectedIcw = after3;
        return;
      default:
        s.autoEoi = (value & ICW4.AEOI) !== 0;
        s.specialFullyNested = (value & ICW4.SFNM) !== 0;
        s.expectedIcw = 0;
    }
  }

  private operationControl2(value: number): void {
    const s = this.state;
    const command = value >>> 5;
    switch (command) {
      case OCW2.rotateInAeoiClear:
      case OCW2.rotateInAeoiSet:
        s.rotateInAeoi = command === OCW2.rotateInAeoiSet;
        return;
      case OCW2.nonSpecificEoi:
      case OCW2.rotateOnNonSpecificEoi: {
        // In special mask mode a masked level is not cleared by a non-specific EOI.
        const clearable = s.specialMask ? s.isr & ~s.imr : s.isr;
        for (let i = 1; i <= 8; i++) {
          const ir = (s.lowestPriority + i) & 7;
          if ((clearable & (1 << ir)) === 0) continue;
          s.isr &= ~(1 << ir);
          if (command === OCW2.rotateOnNonSpecificEoi) s.lowestPriority = ir;
          return;
        }
        return;
      }
      case OCW2.specificEoi:
      case OCW2.rotateOnSpecificEoi:
        s.isr &= ~(1 << (value & 7));
        if (command === OCW2.rotateOnSpecificEoi) s.lowestPriority = value & 7;
        return;
      case OCW2.setPriority:
        s.lowestPriority = value & 7;
        return;
    }
  }

  private operationControl3(value: number): void {
    const s = this.state;
    if (value & OCW3.ESMM) s.specialMask = (value & OCW3.SMM) !== 0;
    if (value & OCW3.POLL) s.poll = true;
    else if (value & OCW3.RR) s.readIsr = (value & OCW3.RIS) !== 0;
  }

  writeElcr(value: number): void {
    const s = this.state;
    const changed = s.elcr ^ (value & this.writableElcr);
    s.elcr ^= changed;
    // A level input requests for as long as it is high; an input that becomes edge-triggered keeps its latch.
    const nowLevel = changed & s.elcr;
    s.irr = (s.irr & ~nowLevel) | (s.inputs & nowLevel);
    this.outputMayChange();
  }
}

export interface PicPairState {
  master: PicChipState;
  slave: PicChipState;
}

/** Ports 20h-21h (master), A0h-A1h (slave), 4D0h-4D1h (ELCR). */
export class PicPair extends BytePorts implements Stateful<PicPairState> {
  /** IRQ0-IRQ15. IRQ2 is the cascade and takes no input. A device must hold its line until it is served. */
  readonly inputs: readonly InterruptLine[];
  private readonly master: PicChip;
  private readonly slave: PicChip;

  /** @param output INTR (or LINT0) of the processor. */
  constructor(private readonly output: InterruptLine) {
    super();
    // IRQ0, IRQ1, IRQ2, IRQ8 and IRQ13 are edge-triggered for ever.
    this.slave = new PicChip(0, 0xde, () => this.master.setInput(CASCADE, this.slave.int));
    this.master = new PicChip(1 << CASCADE, 0xf8, () => this.output.set(this.master.int));
    const input = (irq: number): InterruptLine => {
      if (irq === CASCADE) return { set: () => {} };
      const chip = irq < 8 ? this.master : this.slave;
      return { set: (level) => chip.setInput(irq & 7, level) };
    };
    this.inputs = Array.from({ length: 16 }, (_, irq) => input(irq));
  }

  attach(ports: PortBus): void {
    ports.register(0x20, 2, this);
    ports.register(0xa0, 2, this);
    ports.register(0x4d0, 2, this);
  }

  /** Level of INT. */
  get interruptPending(): boolean {
    return this.master.int;
  }

  /** The processor's interrupt acknowledge cycle: the vector, spurious (IR7 of the chip concerned) if the request has gone. */
  acknowledge(): number {
    const ir = this.master.acknowledge();
    if (ir !== CASCADE) return this.master.vector(ir);
    return this.slave.vector(this.slave.acknowledge());
  }

  protected readByte(port: number): number {
    switch (port) {
      case 0x20:
      case 0x21:
        return this.master.read((port & 1) !== 0);
      case 0xa0:
      case 0xa1:
        return this.slave.read((port & 1) !== 0);
      case 0x4d0:
        return this.master.state.elcr;
      case 0x4d1:
        return this.slave.state.elcr;
      default:
        return 0xff;
    }
  }

  protected writeByte(port: number, value: number): void {
    if (port === 0x20 || port === 0x21) this.master.write((port & 1) !== 0, value);
    else if (port === 0xa0 || port === 0xa1) this.slave.write((port & 1) !== 0, value);
    else if (port === 0x4d0) this.master.writeElcr(value);
    else if (port === 0x4d1) this.slave.writeElcr(value);
  }

  saveState(): PicPairState {
    return { master: { ...this.master.state }, slave: { ...this.slave.state } };
  }

  restoreState(state: PicPairState): void {
    this.master.state = { ...state.master };
    this.slave.state = { ...state.slave };
    this.output.set(this.master.int);
  }
}
