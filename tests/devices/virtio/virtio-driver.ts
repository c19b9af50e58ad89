/** A driver of a few lines: it finds the structures by their capabilities, negotiates, and fills rings, as VIRTIO 1.2 tells drivers to. */
import type { VirtioDeviceType } from '../../../devices/virtio/device-type';
import { VirtioPciDevice } from '../../../devices/virtio/virtio-pci';
import { FunctionBench } from '../pci/function-bench';

export const SOON = 1_000_000;
export const F = { INDIRECT: 2 ** 28, EVENT_IDX: 2 ** 29, VERSION_1: 2 ** 32, ACCESS_PLATFORM: 2 ** 33 } as const;
const Flag = { NEXT: 1, WRITE: 2, INDIRECT: 4 } as const;
export const Common = {
  DEVICE_FEATURE_SELECT: 0x00, DEVICE_FEATURE: 0x04, DRIVER_FEATURE_SELECT: 0x08, DRIVER_FEATURE: 0x0c, CONFIG_VECTOR: 0x10, NUM_QUEUES: 0x12, STATUS: 0x14,
  QUEUE_SELECT: 0x16, QUEUE_SIZE: 0x18, QUEUE_VECTOR: 0x1a, QUEUE_ENABLE: 0x1c, QUEUE_NOTIFY_OFF: 0x1e, QUEUE_DESC: 0x20, QUEUE_DRIVER: 0x28, QUEUE_DEVICE: 0x30,
} as const; // prettier-ignore
export const SIZE = 8;
/** Of queue q, at q * 1_0000h behind this: descriptors, available ring, used ring. */
export const RINGS = 0x1_0000;
export const AVAILABLE = 0x1000;
export const USED = 0x2000;
/** Buffers of requests. */
export const DATA = 0x10_0000;

export interface Buffer {
  readonly address: number;
  readonly length: number;
  readonly write?: boolean;
}

interface Place {
  readonly bar: number;
  readonly offset: number;
  readonly length: number;
  readonly multiplier: number;
}

export class VirtioDriver {
  readonly bench: FunctionBench<VirtioPciDevice>;
  readonly common: Place;
  readonly notify: Place;
  readonly isr: Place;
  readonly config: Place;
  private next = 0;
  private readonly available = new Map<number, number>();
  private readonly seen = new Map<number, number>();

  constructor(type: VirtioDeviceType) {
    this.bench = new FunctionBench(new VirtioPciDevice(type));
    [this.common, this.notify, this.isr, this.config] = [1, 2, 3, 4].map((kind) => this.structure(kind));
  }

  /** "Virtio Structure PCI Capabilities". */
  private structure(kind: number): Place {
    const { device } = this.bench;
    const at = this.bench.capability(0x09, (offset) => device.readConfig(offset + 3, 1) === kind);
    const [bar, offset, length] = [device.readConfig(at + 4, 1), device.readConfig(at + 8, 4), device.readConfig(at + 12, 4)];
    return { bar, offset, length, multiplier: device.readConfig(at + 2, 1) >= 20 ? device.readConfig(at + 16, 4) : 0 };
  }

  get(register: number, size: 1 | 2 | 4): number {
    return this.bench.read(this.common.bar, this.common.offset + register, size);
  }

  set(register: number, value: number, size: 1 | 2 | 4): void {
    this.bench.write(this.common.bar, this.common.offset + register, value, size);
  }

  get status(): number {
    return this.get(Common.STATUS, 1);
  }

  set status(value: number) {
    this.set(Common.STATUS, value, 1);
  }

  features(): number {
    this.set(Common.DEVICE_FEATURE_SELECT, 1, 4);
    const high = this.get(Common.DEVICE_FEATURE, 4);
    this.set(Common.DEVICE_FEATURE_SELECT, 0, 4);
    return high * 2 ** 32 + this.get(Common.DEVICE_FEATURE, 4);
  }

  /** "Device Initialization", steps 1 to 6; answers whether FEATURES_OK stood. */
  negotiate(features: number): boolean {
    this.status = 0;
    this.status = 1;
    this.status = 3;
    this.set(Common.DRIVER_FEATURE_SELECT, 0, 4);
    this.set(Common.DRIVER_FEATURE, features % 2 ** 32, 4);
    this.set(Common.DRIVER_FEATURE_SELECT, 1, 4);
    this.set(Common.DRIVER_FEATURE, Math.floor(features / 2 ** 32), 4);
    this.status = 11;
    return (this.status & 8) !== 0;
  }

  /** Steps 7 and 8: queues of eight, then DRIVER_OK. */
  start(features = F.VERSION_1, queues = this.get(Common.NUM_QUEUES, 2)): this {
    expect(this.negotiate(features)).toBe(true);
    for (let queue = 0; queue < queues; queue++) {
      const base = RINGS + queue * 0x1_0000;
      this.bench.memory.writeBytes(base, new Uint8Array(0x3000));
      this.set(Common.QUEUE_SELECT, queue, 2);
      this.set(Common.QUEUE_SIZE, SIZE, 2);
      this.set(Common.QUEUE_VECTOR, queue + 1, 2);
      [base, base + AVAILABLE, base + USED].forEach((address, i) => {
        this.set(Common.QUEUE_DESC + 8 * i, address, 4);
        this.set(Common.QUEUE_DESC + 8 * i + 4, 0, 4);
      });
      this.set(Common.QUEUE_ENABLE, 1, 2);
    }
    this.next = 0;
    this.available.clear();
    this.seen.clear();
    this.status = 15;
    return this;
  }

  descriptor(queue: number, index: number, address: number, length: number, flags: number, next = 0): void {
    this.putDescriptor(RINGS + queue * 0x1_0000 + 16 * index, address, length, flags, next);
  }

  putDescriptor(at: number, address: number, length: number, flags: number, next: number): void {
    const view = new DataView(new ArrayBuffer(16));
    view.setBigUint64(0, BigInt(address), true);
    view.setUint32(8, length, true);
    view.setUint16(12, flags, true);
    view.setUint16(14, next, true);
    this.bench.memory.writeBytes(at, new Uint8Array(view.buffer));
  }

  /** Makes the chain that begins at `head` available. */
  offer(queue: number, head: number): void {
    const { memory } = this.bench;
    const base = RINGS + queue * 0x1_0000 + AVAILABLE;
    const index = this.available.get(queue) ?? 0;
    memory.write16(base + 4 + 2 * (index % SIZE), head);
    memory.write16(base + 2, (index + 1) & 0xffff);
    this.available.set(queue, (index + 1) & 0xffff);
  }

  /** Puts buffers into the next descriptors, chained, and makes them available; answers the head. */
  queue(queue: number, buffers: readonly Buffer[]): number {
    const indices = buffers.map((_, i) => (this.next + i) % SIZE);
    this.next = (this.next + buffers.length) % SIZE;
    buffers.forEach(({ address, length, write }, i) => {
      const last = i === buffers.length - 1;
      this.descriptor(queue, indices[i], address, length, (write ? Flag.WRITE : 0) | (last ? 0 : Flag.NEXT), last ? 0 : indices[i + 1]);
    });
    this.offer(queue, indices[0]);
    return indices[0];
  }

  kick(queue: number): void {
    this.set(Common.QUEUE_SELECT, queue, 2);
    const offset = this.get(Common.QUEUE_NOTIFY_OFF, 2) * this.notify.multiplier;
    this.bench.write(this.notify.bar, this.notify.offset + offset, queue, 2);
    this.bench.bench.advance(SOON);
  }

  /** What the device has used since the last call. */
  used(queue: number): { id: number; length: number }[] {
    const { memory } = this.bench;
    const base = RINGS + queue * 0x1_0000 + USED;
    const entries: { id: number; length: number }[] = [];
    let index = this.seen.get(queue) ?? 0;
    for (; index !== memory.read16(base + 2); index = (index + 1) & 0xffff) {
      const at = base + 4 + 8 * (index % SIZE);
      entries.push({ id: memory.read32(at), length: memory.read32(at + 4) });
    }
    this.seen.set(queue, index);
    return entries;
  }

  request(queue: number, buffers: readonly Buffer[]): { id: number; length: number }[] {
    this.queue(queue, buffers);
    this.kick(queue);
    return this.used(queue);
  }

  enableMsix(): void {
    this.bench.enableMsix(1, 0, this.get(Common.NUM_QUEUES, 2) + 1);
  }
}
