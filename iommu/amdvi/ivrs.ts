/** The IVRS table, by which firmware tells of an IOMMU: AMD IOMMU specification, "I/O Virtualization Reporting Structure (IVRS)". */
import { TableWriter } from '../../devices/acpi-tables/table-writer';
import { EXTENDED_FEATURES } from './spec/registers';

export interface IvrsOptions {
  /** The IOMMU itself: requester id, offset of its capability block, and its registers. */
  readonly requester: number;
  readonly capability: number;
  readonly registerBase: number;
  readonly physicalAddressWidth: number;
  /** APIC id, and the requester id it sends interrupts with. */
  readonly ioApics: readonly SpecialDevice[];
  /** HPET number. */
  readonly hpets: readonly SpecialDevice[];
}

/** A device that no PCI enumeration finds. */
export interface SpecialDevice {
  readonly id: number;
  readonly requester: number;
}

const REVISION = 2;
/** EFRSup, and sizes: GVAsize 2 (48 bits) at 7:5, PAsize at 14:8, VAsize 64 at 21:15. */
const ivInfo = (physicalAddressWidth: number): number => 1 | (2 << 5) | (physicalAddressWidth << 8) | (64 << 15);
const IVHD = { legacy: 0x10, extended: 0x11, acpiNames: 0x40 } as const;
/** Coherent, PreFSup (type 10h only: the other types have the features in full). */
const IVHD_FLAGS = { COHERENT: 0x20, PREFETCH: 0x40 } as const;
const DEVICE_ENTRY = { all: 1, special: 0x48 } as const;
const VARIETY = { ioApic: 1, hpet: 2 } as const;
/** INITPass, EIntPass, NMIPass, Lint0Pass, Lint1Pass: an I/O APIC can be told to send any of these. */
const IO_APIC_DTE_SETTING = 0xc7;
const SEGMENT = 0;
const DWORD = 0x1_0000_0000n;

/** Feature Reporting field of type 10h, from the Extended Feature Register. */
function featureReporting(features: bigint): number {
  const bits = (from: number, count: number, to: number): number => Number((features >> BigInt(from)) & ((1n << BigInt(count)) - 1n)) * 2 ** to;
  // XTSup, IASup, GASup, HESup, HATS.
  return bits(2, 1, 0) + bits(6, 1, 5) + bits(7, 1, 6) + bits(8, 1, 7) + bits(10, 2, 30);
}

/** The same IOMMU three times, each type for software that knows no later one. */
export function ivrs(options: IvrsOptions): Uint8Array {
  const w = new TableWriter().u32(ivInfo(options.physicalAddressWidth)).zeros(8);
  for (const type of [IVHD.legacy, IVHD.extended, IVHD.acpiNames]) w.append(ivhd(type, options));
  return w.table('IVRS', REVISION);
}

function ivhd(type: number, options: IvrsOptions): Uint8Array {
  const { requester, capability, registerBase, ioApics, hpets } = options;
  const legacy = type === IVHD.legacy;
  const body = new TableWriter().u16(requester).u16(capability).u64(registerBase).u16(SEGMENT);
  // IOMMU info: MsiNum 0, UnitID 0. Attributes: no performance counters, message 0 for everything.
  body.u16(0).u32(legacy ? featureReporting(EXTENDED_FEATURES) : 0);
  if (!legacy)
    body
      .u32(Number(EXTENDED_FEATURES % DWORD))
      .u32(Number(EXTENDED_FEATURES / DWORD))
      .zeros(8);
  body.u8(DEVICE_ENTRY.all).u16(0).u8(0);
  for (const device of ioApics) body.append(special(VARIETY.ioApic, device, IO_APIC_DTE_SETTING));
  for (const device of hpets) body.append(special(VARIETY.hpet, device, 0));
  const bytes = body.raw();
  return new TableWriter()
    .u8(type, legacy ? IVHD_FLAGS.COHERENT | IVHD_FLAGS.PREFETCH : IVHD_FLAGS.COHERENT)
    .u16(4 + bytes.length)
    .append(bytes)
    .raw();
}

function special(variety: number, { id, requester }: SpecialDevice, dteSetting: number): Uint8Array {
  return new TableWriter().u8(DEVICE_ENTRY.special).u16(0).u8(dteSetting, id).u16(requester).u8(variety).raw();
}
