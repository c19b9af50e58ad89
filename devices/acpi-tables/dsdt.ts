/** The DSDT: the devices of the board that an operating system cannot find by itself. */
import { ACPI_PM_BASE, ACPI_PM_SIZE, SLEEP_TYPE } from '../acpi-pm';
import { HPET_BASE, HPET_SIZE } from '../hpet';
import { PIRQ_ISA, RCBA_BASE, RCBA_SIZE } from '../pci/lpc-bridge';
import { ECAM_BASE, ECAM_SIZE, PCI_HIGH_WINDOW, PCI_MEMORY_WINDOWS, pirqOf } from '../pci/pci-bus';
import { argument, define, device, eisaId, giveBack, integer, list, method, name, scope, store, string, when, type Aml } from './aml';
import { Resource, template } from './resources';
import { TableWriter } from './table-writer';

export interface DsdtOptions {
  /** APIC ids; the processor's _UID is its place in the list. */
  readonly processors: readonly number[];
  readonly hpet: boolean;
  /** COM ports with their first port and ISA interrupt; COM1 first. */
  readonly serialPorts: readonly { readonly base: number; readonly irq: number }[];
}

/** I/O APIC input of PIRQA#. */
const FIRST_PIRQ_INPUT = 16;
const SLOTS = 32;
/** Slot 0 is the host bridge, which has no pins. */
const FIRST_SLOT = 1;
const PINS = 4;
const ALL_FUNCTIONS = 0xffff;
const LPC_ADDRESS = 0x1f_0000;
const CONFIG_PORTS = [0xcf8, 8] as const;
const VGA_WINDOW = [0xa_0000, 0xb_ffff] as const;
/** Set by \_PIC to what the operating system uses: 0 the 8259s, 1 the I/O APIC. */
const PIC_MODE = 'PICM';

const id = (eisa: string, uid?: number): Aml => [...define('_HID', eisaId(eisa)), ...(uid === undefined ? [] : define('_UID', integer(uid)))];
const present = (path: string, eisa: string, ...resources: Aml[]): Aml => device(path, id(eisa), define('_CRS', template(...resources)));

/** _PRT rows: every function's INTA# to INTD# of every slot, hardwired to a global system interrupt. */
function routing(interruptOf: (pirq: number) => number): Aml {
  const rows: Aml[] = [];
  for (let slot = FIRST_SLOT; slot < SLOTS; slot++) {
    for (let pin = 1; pin <= PINS; pin++) {
      rows.push(list(integer(slot * 0x1_0000 + ALL_FUNCTIONS), integer(pin - 1), integer(0), integer(interruptOf(pirqOf(slot, pin)))));
    }
  }
  return list(...rows);
}

function hostBridge(children: readonly Aml[]): Aml {
  const [low, second] = PCI_MEMORY_WINDOWS;
  return device(
    'PCI0',
    id('PNP0A08', 0),
    define('_CID', eisaId('PNP0A03')),
    define('_SEG', integer(0)),
    define('_BBN', integer(0)),
    define(
      '_CRS',
      template(
        Resource.busWindow(0, 0xff),
        Resource.io(...CONFIG_PORTS),
        Resource.ioWindow(0, CONFIG_PORTS[0] - 1),
        Resource.ioWindow(CONFIG_PORTS[0] + CONFIG_PORTS[1], 0xffff),
        Resource.cacheableWindow(...VGA_WINDOW),
        Resource.memoryWindow(...low),
        Resource.memoryWindow(...second),
        Resource.prefetchableWindow64(...PCI_HIGH_WINDOW),
      ),
    ),
    define(
      'APRT',
      routing((pirq) => FIRST_PIRQ_INPUT + pirq),
    ),
    define(
      'PPRT',
      routing((pirq) => PIRQ_ISA[pirq]),
    ),
    method('_PRT', 0, when(name(PIC_MODE), giveBack(name('APRT'))), giveBack(name('PPRT'))),
    ...children,
  );
}

function isaBridge({ serialPorts }: DsdtOptions): Aml {
  return device(
    'ISA',
    define('_ADR', integer(LPC_ADDRESS)),
    present('PIC', 'PNP0000', Resource.io(0x20, 2), Resource.io(0xa0, 2), Resource.io(0x4d0, 2)),
    present('TIMR', 'PNP0100', Resource.io(0x40, 4), Resource.irq(0)),
    present('SPKR', 'PNP0800', Resource.io(0x61, 1)),
    present('RTC', 'PNP0B00', Resource.io(0x70, 2), Resource.irq(8)),
    present('KBD', 'PNP0303', Resource.io(0x60, 1), Resource.io(0x64, 1), Resource.irq(1)),
    present('MOU', 'PNP0F13', Resource.irq(12)),
    ...serialPorts.map(({ base, irq }, i) => device(`COM${i + 1}`, id('PNP0501', i + 1), define('_CRS', template(Resource.io(base, 8), Resource.irq(irq))))),
  );
}

/** Ranges that belong to the board itself, so that nothing else is put there. Linux wants ECAM reserved here before it trusts MCFG. */
const motherboard = (): Aml =>
  device(
    'MBRD',
    id('PNP0C02', 0),
    define('_CRS', template(Resource.memoryFixed(ECAM_BASE, ECAM_SIZE), Resource.memoryFixed(RCBA_BASE, RCBA_SIZE), Resource.io(ACPI_PM_BASE, ACPI_PM_SIZE))),
  );

export function dsdt(options: DsdtOptions): Uint8Array {
  const terms = [
    define('\\_S5', list(integer(SLEEP_TYPE.S5), integer(SLEEP_TYPE.S5), integer(0), integer(0))),
    define(PIC_MODE, integer(0)),
    method('\\_PIC', 1, store(argument(0), name(PIC_MODE))),
    scope(
      '\\_SB',
      ...options.processors.map((_, i) =>
        device(`C${i.toString(16).toUpperCase().padStart(3, '0')}`, define('_HID', string('ACPI0007')), define('_UID', integer(i))),
      ),
      motherboard(),
      hostBridge([isaBridge(options)]),
      ...(options.hpet ? [device('HPET', id('PNP0103', 0), define('_CRS', template(Resource.memoryFixed(HPET_BASE, HPET_SIZE))))] : []),
    ),
  ];
  return new TableWriter().append(terms.flat()).table('DSDT', 2);
}
