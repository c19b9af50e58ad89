/** Common configuration structure: VIRTIO 1.2, "Common configuration structure layout", "Device Status Field", feature negotiation. */
import type { Stateful } from '../../memory/stateful';
import type { AccessSize } from '../bus';
import { NO_VECTOR, type QueueState, type SplitQueue } from './split-queue';

export const DeviceStatus = { ACKNOWLEDGE: 1, DRIVER: 2, DRIVER_OK: 4, FEATURES_OK: 8, NEEDS_RESET: 0x40, FAILED: 0x80 } as const;
const DRIVER_STATUS = DeviceStatus.ACKNOWLEDGE | DeviceStatus.DRIVER | DeviceStatus.DRIVER_OK | DeviceStatus.FEATURES_OK | DeviceStatus.FAILED;

/** Bit of the low and of the high half of the feature bits. */
export const LowFeature = { INDIRECT_DESC: 2 ** 28, EVENT_IDX: 2 ** 29 } as const;
export const HighFeature = { VERSION_1: 1, ACCESS_PLATFORM: 2 } as const;

/** Offset and width of each field, as the standard lists them. */
const FIELDS = [
  ['deviceFeatureSelect', 0x00, 4],
  ['deviceFeature', 0x04, 4],
  ['driverFeatureSelect', 0x08, 4],
  ['driverFeature', 0x0c, 4],
  ['configMsixVector', 0x10, 2],
  ['numQueues', 0x12, 2],
  ['deviceStatus', 0x14, 1],
  ['configGeneration', 0x15, 1],
  ['queueSelect', 0x16, 2],
  ['queueSize', 0x18, 2],
  ['queueMsixVector', 0x1a, 2],
  ['queueEnable', 0x1c, 2],
  ['queueNotifyOff', 0x1e, 2],
  ['queueDescLow', 0x20, 4],
  ['queueDescHigh', 0x24, 4],
  ['queueDriverLow', 0x28, 4],
  ['queueDriverHigh', 0x2c, 4],
  ['queueDeviceLow', 0x30, 4],
  ['queueDeviceHigh', 0x34, 4],
] as const;
type Field = (typeof FIELDS)[number][0];
export const COMMON_BYTES = 0x38;
const AT = new Map(FIELDS.map(([name, offset, width]) => [offset as number, { name, width }]));

const TWO32 = 0x1_0000_0000;
const withLow = (address: number, low: number): number => address - (address % TWO32) + low;
const withHigh = (address: number, high: number): number => (address % TWO32) + high * TWO32;

export interface CommonState {
  deviceSelect: number;
  driverSelect: number;
  driverFeatures: [low: number, high: number];
  configVector: number;
  status: number;
  queueSelect: number;
  queues: QueueState[];
}

export interface CommonOptions {
  readonly features: readonly [low: number, high: number];
  readonly queues: readonly SplitQueue[];
  /** Interrupt vectors of the function. */
  readonly vectors: number;
  /** The driver wrote 0 to device_status. */
  readonly reset: () => void;
  /** DRIVER_OK was set, or a queue enabled. */
  readonly started: () => void;
}

export class CommonConfiguration implements Stateful<CommonState> {
  private deviceSelect = 0;
  private driverSelect = 0;
  private driverFeatures: [low: number, high: number] = [0, 0];
  configVector = NO_VECTOR;
  status = 0;
  private queueSelect = 0;

  constructor(private readonly options: CommonOptions) {}

  reset(): void {
    this.deviceSelect = this.driverSelect = this.queueSelect = this.status = 0;
    this.driverFeatures = [0, 0];
    this.configVector = NO_VECTOR;
    for (const queue of this.options.queues) queue.reset();
  }

  /** The low half of what was negotiated. */
  get negotiated(): number {
    return this.driverFeatures[0];
  }

  /** "The device MUST NOT consume buffers before DRIVER_OK", nor when it needs a reset. */
  get running(): boolean {
    return (this.status & DeviceStatus.DRIVER_OK) !== 0 && (this.status & (DeviceStatus.NEEDS_RESET | DeviceStatus.FAILED)) === 0;
  }

  /** "When the driver reads, it may do so in the width of the field" or narrower parts of it. */
  read(offset: number, size: AccessSize): number {
    const exact = AT.get(offset);
    if (exact !== undefined && exact.width >= size) return (this.get(exact.name) & (size === 4 ? -1 : size === 2 ? 0xffff : 0xff)) >>> 0;
    if (size === 1) {
      const start = offset - (AT.has(offset - 1) ? 1 : offset % 4);
      const field = AT.get(start);
      return field === undefined || offset >= start + field.width ? 0 : (this.get(field.name) >>> (8 * (offset - start))) & 0xff;
    }
    const half = (size >> 1) as AccessSize;
    return (this.read(offset, half) + this.read(offset + half, half) * 2 ** (8 * half)) >>> 0;
  }

  /** "The driver MUST access each field using the appropriate method": other widths do nothing. */
  write(offset: number, size: AccessSize, value: number): void {
    const field = AT.get(offset);
    if (field !== undefined && field.width === size) this.set(field.name, value >>> 0);
  }

  private get(field: Field): number {
    const { features, queues } = this.options;
    const queue = queues[this.queueSelect];
    const settings = queue?.settings;
    switch (field) {
      case 'deviceFeatureSelect':
        return this.deviceSelect;
      case 'deviceFeature':
        return features[this.deviceSelect] ?? 0;
      case 'driverFeatureSelect':
        return this.driverSelect;
      case 'driverFeature':
        return this.driverFeatures[this.driverSelect] ?? 0;
      case 'configMsixVector':
        return this.configVector;
      case 'numQueues':
        return queues.length;
      case 'deviceStatus':
        return this.status;
      case 'configGeneration':
        return 0;
      case 'queueSelect':
        return this.queueSelect;
      // "A queue that does not exist has size 0".
      case 'queueSize':
        return settings?.size ?? 0;
      case 'queueMsixVector':
        return settings?.vector ?? NO_VECTOR;
      case 'queueEnable':
        return settings?.enabled ? 1 : 0;
      case 'queueNotifyOff':
        return queue === undefined ? 0 : this.queueSelect;
      case 'queueDescLow':
        return (settings?.descriptors ?? 0) % TWO32;
      case 'queueDescHigh':
        return Math.floor((settings?.descriptors ?? 0) / TWO32);
      case 'queueDriverLow':
        return (settings?.driver ?? 0) % TWO32;
      case 'queueDriverHigh':
        return Math.floor((settings?.driver ?? 0) / TWO32);
      case 'queueDeviceLow':
        return (settings?.device ?? 0) % TWO32;
      case 'queueDeviceHigh':
        return Math.floor((settings?.device ?? 0) / TWO32);
    }
  }

  private set(field: Field, value: number): void {
    switch (field) {
      case 'deviceFeatureSelect':
        this.deviceSelect = value;
        return;
      case 'driverFeatureSelect':
        this.driverSelect = value;
        return;
      case 'driverFeature':
        // What was negotiated stays so until reset.
        if ((this.status & DeviceStatus.FEATURES_OK) === 0 && this.driverSelect < 2) this.driverFeatures[this.driverSelect] = value;
        return;
      case 'configMsixVector':
        this.configVector = this.vector(value);
        return;
      case 'deviceStatus':
        return this.setStatus(value);
      case 'queueSelect':
        this.queueSelect = value;
        return;
      default:
        return this.setQueue(field, value);
    }
  }

  /** "The device MUST return NO_VECTOR" when it cannot use the one it was given. */
  private vector(value: number): number {
    return value < this.options.vectors ? value : NO_VECTOR;
  }

  private setStatus(value: number): void {
    if (value === 0) return this.options.reset();
    const { features } = this.options;
    const [low, high] = this.driverFeatures;
    // "The device MUST NOT set FEATURES_OK" for features that it has not offered; without VERSION_1 it would be a legacy device.
    const acceptable = (low & ~features[0]) === 0 && (high & ~features[1]) === 0 && (high & HighFeature.VERSION_1) !== 0;
    const refused = acceptable || (this.status & DeviceStatus.FEATURES_OK) !== 0 ? 0 : DeviceStatus.FEATURES_OK;
    // Bits are set one after the other, and cleared by reset only.
    this.status |= value & DRIVER_STATUS & ~refused;
    if (this.running) this.options.started();
  }

  private setQueue(field: Field, value: number): void {
    const queue = this.options.queues[this.queueSelect];
    if (queue === undefined) return;
    const { settings } = queue;
    if (field === 'queueMsixVector') settings.vector = this.vector(value);
    // "The driver MUST NOT change" the rest of a queue that is enabled, nor disable it.
    if (settings.enabled) return;
    switch (field) {
      case 'queueSize':
        if (value !== 0 && value <= queue.maximumSize && (value & (value - 1)) === 0) settings.size = value;
        return;
      case 'queueDescLow':
        settings.descriptors = withLow(settings.descriptors, value);
        return;
      case 'queueDescHigh':
        settings.descriptors = withHigh(settings.descriptors, value);
        return;
      case 'queueDriverLow':
        settings.driver = withLow(settings.driver, value);
        return;
      case 'queueDriverHigh':
        settings.driver = withHigh(settings.driver, value);
        return;
      case 'queueDeviceLow':
        settings.device = withLow(settings.device, value);
        return;
      case 'queueDeviceHigh':
        settings.device = withHigh(settings.device, value);
        return;
      case 'queueEnable':
        settings.enabled = value === 1;
        if (this.running) this.options.started();
        return;
    }
  }

  saveState(): CommonState {
    const { deviceSelect, driverSelect, driverFeatures, configVector, status, queueSelect } = this;
    const queues = this.options.queues.map((queue) => queue.saveState());
    return { deviceSelect, driverSelect, driverFeatures: [...driverFeatures], configVector, status, queueSelect, queues };
  }

  restoreState({ queues, driverFeatures, ...state }: CommonState): void {
    Object.assign(this, state);
    this.driverFeatures = [...driverFeatures];
    queues.forEach((queue, i) => this.options.queues[i].restoreState(queue));
  }
}
