/** Data structures of Identify: NVM Express Base Specification 1.4, "Identify command". */
import { MAX_QUEUE_ENTRIES, VERSION, IOCQES, IOSQES } from './registers';

export const IDENTIFY_BYTES = 4096;
/** Controller or Namespace Structure (CNS). */
export const Cns = { NAMESPACE: 0x00, CONTROLLER: 0x01, ACTIVE_NAMESPACES: 0x02, NAMESPACE_DESCRIPTORS: 0x03 } as const;

/** Maximum data transfer: 2^7 memory pages of the smallest size, 512 KiB. */
export const MDTS = 7;
export const MAX_TRANSFER = 4096 << MDTS;
/** Async Event Requests, Aborts and error log entries, at most. */
export const ASYNC_EVENT_LIMIT = 4;
const ABORT_LIMIT = 4;
export const ERROR_LOG_ENTRIES = 4;
/** Log2 of the block size. */
export const LBADS = 9;
export const WARNING_TEMPERATURE = 343;
const CRITICAL_TEMPERATURE = 373;

/** Log pages: commands supported and effects; extended data (offsets). */
const LPA = 0x06;
/** Compare, Dataset Management, Write Zeroes, and the Select field of features. */
const ONCS = 0x1d;
/** A volatile write cache, and Flush knows all namespaces. */
const VWC = 0x07;
/** An I/O controller. */
const CNTRLTYPE = 1;
/** One firmware slot, which is read-only. */
const FRMW = 0x03;
/** Centiwatts: 25 W. */
const MAXIMUM_POWER = 2500;

export interface NvmeIdentity {
  readonly pciVendor: number;
  readonly pciSubsystemVendor: number;
  /** At most 20 ASCII characters. */
  readonly serial: string;
}

export const FIRMWARE = '1.0';
const MODEL = 'vmexit NVMe controller';

function blank(length: number): { bytes: Uint8Array; view: DataView } {
  const bytes = new Uint8Array(length);
  return { bytes, view: new DataView(bytes.buffer) };
}

/** "ASCII strings are left justified and padded with spaces". */
export function putAscii(bytes: Uint8Array, offset: number, length: number, text: string): void {
  for (let i = 0; i < length; i++) bytes[offset + i] = i < text.length ? text.charCodeAt(i) : 0x20;
}

export function identifyController({ pciVendor, pciSubsystemVendor, serial }: NvmeIdentity): Uint8Array {
  const { bytes, view } = blank(IDENTIFY_BYTES);
  view.setUint16(0, pciVendor, true);
  view.setUint16(2, pciSubsystemVendor, true);
  putAscii(bytes, 4, 20, serial);
  putAscii(bytes, 24, 40, MODEL);
  putAscii(bytes, 64, 8, FIRMWARE);
  bytes[77] = MDTS;
  view.setUint32(80, VERSION, true);
  bytes[111] = CNTRLTYPE;
  bytes[258] = ABORT_LIMIT - 1;
  bytes[259] = ASYNC_EVENT_LIMIT - 1;
  bytes[260] = FRMW;
  bytes[261] = LPA;
  bytes[262] = ERROR_LOG_ENTRIES - 1;
  view.setUint16(266, WARNING_TEMPERATURE, true);
  view.setUint16(268, CRITICAL_TEMPERATURE, true);
  // Required and maximum entry sizes.
  bytes[512] = (IOSQES << 4) | IOSQES;
  bytes[513] = (IOCQES << 4) | IOCQES;
  view.setUint16(514, MAX_QUEUE_ENTRIES, true);
  view.setUint32(516, 1, true);
  view.setUint16(520, ONCS, true);
  bytes[525] = VWC;
  const name = `nqn.2026-01.dev.vmexit:nvme:${serial}`;
  for (let i = 0; i < name.length; i++) bytes[768 + i] = name.charCodeAt(i);
  view.setUint16(2048, MAXIMUM_POWER, true);
  return bytes;
}

/** @param blocks of 512 bytes. */
export function identifyNamespace(blocks: number, readOnly: boolean, eui64: Uint8Array): Uint8Array {
  const { bytes, view } = blank(IDENTIFY_BYTES);
  // Size, capacity, utilization.
  for (const offset of [0, 8, 16]) view.setBigUint64(offset, BigInt(blocks), true);
  // DLFEAT: deallocated blocks read as zeroes.
  bytes[33] = 0x01;
  // NSATTR: write protected.
  bytes[99] = readOnly ? 1 : 0;
  bytes.set(eui64, 120);
  bytes[128 + 2] = LBADS;
  return bytes;
}

/** Namespace 1 is the only one. @param after ids greater than this are listed. */
export function activeNamespaces(after: number): Uint8Array {
  const { bytes } = blank(IDENTIFY_BYTES);
  if (after < 1) bytes[0] = 1;
  return bytes;
}

/** Namespace Identifier Type 1h: EUI-64. A type of 0 ends the list. */
export function namespaceDescriptors(eui64: Uint8Array): Uint8Array {
  const { bytes } = blank(IDENTIFY_BYTES);
  bytes.set([1, eui64.length]);
  bytes.set(eui64, 4);
  return bytes;
}

/** An EUI-64 with the locally administered bit, from the serial number (FNV-1a): the same disk has the same name in every run. */
export function eui64Of(serial: string): Uint8Array {
  let hash = 0x811c_9dc5;
  for (let i = 0; i < serial.length; i++) hash = Math.imul(hash ^ serial.charCodeAt(i), 0x0100_0193);
  return Uint8Array.of(0x52, 0x54, 0x00, 0x12, hash >>> 24, (hash >>> 16) & 0xff, (hash >>> 8) & 0xff, hash & 0xff);
}
