/** Layout of the local APIC's registers: SDM "Local APIC Register Address Map" and "Local APIC Register Address Map Supported by x2APIC". */

/** Delivery modes of the ICR, the LVT and interrupt messages. */
export const DeliveryMode = { Fixed: 0, LowestPriority: 1, Smi: 2, Nmi: 4, Init: 5, StartUp: 6, ExtInt: 7 } as const;

/** Register numbers: offset in the page / 16, MSR - 800h. */
export const Register = {
  ID: 0x02, VERSION: 0x03, TPR: 0x08, APR: 0x09, PPR: 0x0a, EOI: 0x0b, RRD: 0x0c, LDR: 0x0d, DFR: 0x0e, SVR: 0x0f,
  ISR: 0x10, TMR: 0x18, IRR: 0x20, ESR: 0x28, ICR_LOW: 0x30, ICR_HIGH: 0x31,
  LVT_TIMER: 0x32, LVT_THERMAL: 0x33, LVT_PERFORMANCE: 0x34, LVT_LINT0: 0x35, LVT_LINT1: 0x36, LVT_ERROR: 0x37,
  INITIAL_COUNT: 0x38, CURRENT_COUNT: 0x39, DIVIDE: 0x3e, SELF_IPI: 0x3f,
} as const; // prettier-ignore

export const Msr = { APIC_BASE: 0x1b, TSC_DEADLINE: 0x6e0, X2APIC_FIRST: 0x800, X2APIC_LAST: 0x8ff } as const;
export const ApicBase = { BSP: 1n << 8n, EXTD: 1n << 10n, EN: 1n << 11n, ADDRESS_SHIFT: 12n } as const;
export const APIC_DEFAULT_BASE = 0xfee0_0000;

export const Lvt = {
  VECTOR: 0xff, MODE: 0x700, MODE_SHIFT: 8, DELIVERY_STATUS: 0x1000, POLARITY: 0x2000, REMOTE_IRR: 0x4000, LEVEL: 0x8000, MASKED: 0x1_0000,
  TIMER_MODE: 0x6_0000, TIMER_MODE_SHIFT: 17,
} as const; // prettier-ignore

export const Svr = { VECTOR: 0xff, ENABLE: 0x100, FOCUS: 0x200, SUPPRESS_EOI: 0x1000 } as const;
export const Esr = { SEND_ILLEGAL_VECTOR: 0x20, RECEIVE_ILLEGAL_VECTOR: 0x40, ILLEGAL_REGISTER: 0x80 } as const;
export const Icr = {
  VECTOR: 0xff, MODE: 0x700, MODE_SHIFT: 8, LOGICAL: 0x800, ASSERT: 0x4000, LEVEL: 0x8000, SHORTHAND_SHIFT: 18,
  /** Without the delivery status, which is always idle (and reserved in x2APIC mode). */
  WRITABLE: 0xc_cfff,
} as const; // prettier-ignore
export const Shorthand = { None: 0, Self: 1, AllIncludingSelf: 2, AllExcludingSelf: 3 } as const;

/** Version: integrated APIC; bits 23:16 index of the last LVT entry; bit 24 EOI-broadcast suppression. */
export const Version = { INTEGRATED: 0x14, MAX_LVT_SHIFT: 16, EOI_SUPPRESSION: 0x100_0000 } as const;
export const LVT_ENTRIES = 6;
/** Vectors below are reserved. */
export const FIRST_VECTOR = 16;

export interface RegisterLayout {
  readonly name: string;
  /** Bits that a write sets. Others keep their value. */
  readonly writable: number;
  /** Bits that may be written with anything but are not taken over; the remaining ones are reserved (#GP in x2APIC mode). */
  readonly readOnly: number;
  /** False: not in the MMIO page. */
  readonly xapic: boolean;
  /** Absent: the MSR does not exist. */
  readonly x2apic?: 'ro' | 'rw' | 'wo';
}

const both = (name: string, x2apic: 'ro' | 'rw' | 'wo', writable = 0, readOnly = 0): RegisterLayout => ({ name, writable, readOnly, xapic: true, x2apic });
const mmioOnly = (name: string, writable = 0): RegisterLayout => ({ name, writable, readOnly: 0, xapic: true });

const LVT_PIN = Lvt.VECTOR | Lvt.MODE | Lvt.POLARITY | Lvt.LEVEL | Lvt.MASKED;
const LVT_EVENT = Lvt.VECTOR | Lvt.MODE | Lvt.MASKED;
const LVT_STATUS = Lvt.DELIVERY_STATUS;

const ROWS: readonly (readonly [number, RegisterLayout])[] = [
  [Register.ID, both('ID', 'ro', 0xff00_0000)],
  [Register.VERSION, both('version', 'ro')],
  [Register.TPR, both('TPR', 'rw', 0xff)],
  [Register.APR, mmioOnly('APR')],
  [Register.PPR, both('PPR', 'ro')],
  [Register.EOI, both('EOI', 'wo')],
  [Register.RRD, mmioOnly('remote read')],
  [Register.LDR, both('LDR', 'ro', 0xff00_0000)],
  [Register.DFR, mmioOnly('DFR', 0xf000_0000)],
  [Register.SVR, both('SVR', 'rw', Svr.VECTOR | Svr.ENABLE | Svr.FOCUS | Svr.SUPPRESS_EOI)],
  ...[Register.ISR, Register.TMR, Register.IRR].flatMap((first, i) =>
    Array.from({ length: 8 }, (_, n) => [first + n, both(`${['ISR', 'TMR', 'IRR'][i]} ${n}`, 'ro')] as const),
  ),
  [Register.ESR, both('ESR', 'rw')],
  [Register.ICR_LOW, both('ICR', 'rw', Icr.WRITABLE)],
  [Register.ICR_HIGH, mmioOnly('ICR high', 0xff00_0000)],
  [Register.LVT_TIMER, both('LVT timer', 'rw', Lvt.VECTOR | Lvt.MASKED | Lvt.TIMER_MODE, LVT_STATUS)],
  [Register.LVT_THERMAL, both('LVT thermal', 'rw', LVT_EVENT, LVT_STATUS)],
  [Register.LVT_PERFORMANCE, both('LVT performance', 'rw', LVT_EVENT, LVT_STATUS)],
  [Register.LVT_LINT0, both('LVT LINT0', 'rw', LVT_PIN, LVT_STATUS | Lvt.REMOTE_IRR)],
  [Register.LVT_LINT1, both('LVT LINT1', 'rw', LVT_PIN, LVT_STATUS | Lvt.REMOTE_IRR)],
  [Register.LVT_ERROR, both('LVT error', 'rw', Lvt.VECTOR | Lvt.MASKED, LVT_STATUS)],
  [Register.INITIAL_COUNT, both('initial count', 'rw', 0xffff_ffff)],
  [Register.CURRENT_COUNT, both('current count', 'ro')],
  [Register.DIVIDE, both('divide configuration', 'rw', 0xb)],
  [Register.SELF_IPI, { name: 'self IPI', writable: 0xff, readOnly: 0, xapic: false, x2apic: 'wo' }],
];

/** By register number; a hole is a reserved register. */
export const REGISTERS: readonly (RegisterLayout | undefined)[] = ROWS.reduce<(RegisterLayout | undefined)[]>((table, [n, row]) => {
  table[n] = row;
  return table;
}, new Array<RegisterLayout | undefined>(0x100).fill(undefined));
