/** Virtio over PCI, modern interface only: VIRTIO 1.2, "Virtio Over PCI Bus". */
import type { AccessSize, Timer } from '../bus';
import type { RegisterWindow } from '../pci/base-address';
import type { PciAttachment, PciDeviceState } from '../pci/pci-device';
import { PciEndpoint, type PciEndpointState } from '../pci/pci-endpoint';
import { windowMap } from '../pci/window-map';
import { COMMON_BYTES, CommonConfiguration, DeviceStatus, HighFeature, LowFeature, type CommonState } from './common-configuration';
import type { VirtioDeviceType } from './device-type';
import { BROKEN, NO_VECTOR, SplitQueue } from './split-queue';

const VENDOR = 0x1af4;
/** "The PCI Device ID is calculated by adding 0x1040 to the Virtio Device ID". */
const FIRST_DEVICE = 0x1040;
/** "PCI Revision ID of 1 or higher", and a subsystem id that no transitional driver takes. */
const REVISION = 1;
const SUBSYSTEM = 0x1100;

const VENDOR_CAPABILITY = 0x09;
const CfgType = { COMMON: 1, NOTIFY: 2, ISR: 3, DEVICE: 4, PCI: 5 } as const;
const STRUCTURES_BAR = 4;
const MSIX_BAR = 1;
const COMMON = 0x0000;
const ISR = 0x1000;
const DEVICE = 0x2000;
const NOTIFY = 0x3000;
const STRUCTURE_SIZE = 0x1000;
const STRUCTURES_SIZE = 0x4000;
const MSIX_BAR_SIZE = 0x1000;
const MSIX_PENDING = 0x800;
const NOTIFY_MULTIPLIER = 4;
/** In the capability for access through configuration space: bar, offset, length, data. */
const PciCfg = { BAR: 4, OFFSET: 8, LENGTH: 12, DATA: 16 } as const;

const IsrBit = { QUEUE: 1, CONFIGURATION: 2 } as const;
/** From a notification to the used buffers, in nanoseconds. */
const LATENCY = 10_000;
/** Requests that are done at one moment; the others come another LATENCY later. */
const BURST = 64;

export interface VirtioState extends PciEndpointState {
  common: CommonState;
  isr: number;
  device: unknown;
}

export class VirtioPciDevice extends PciEndpoint {
  readonly common: CommonConfiguration;
  private readonly queues: readonly SplitQueue[];
  private readonly structures: RegisterWindow;
  private readonly pciCfg: number;
  private isr = 0;
  private timer: Timer | undefined;

  constructor(private readonly type: VirtioDeviceType) {
    super({
      vendor: VENDOR,
      device: FIRST_DEVICE + type.deviceId,
      classCode: type.classCode,
      revision: REVISION,
      subsystemVendor: VENDOR,
      subsystem: SUBSYSTEM,
      interruptPin: 1,
    });
    this.queues = type.queues.map((size) => new SplitQueue(size, this.dma));
    const vectors = type.queues.length + 1;
    this.common = new CommonConfiguration({
      features: [(type.features | LowFeature.INDIRECT_DESC | LowFeature.EVENT_IDX) >>> 0, HighFeature.VERSION_1 | HighFeature.ACCESS_PLATFORM],
      queues: this.queues,
      vectors,
      reset: () => this.resetFunction(),
      started: () => this.arm(),
    });
    const msix = this.addMsix({ vectors, bar: MSIX_BAR, table: 0, pending: MSIX_PENDING });
    const msixWindow = windowMap([
      { offset: 0, size: MSIX_PENDING, window: msix.tableWindow },
      { offset: MSIX_PENDING, size: MSIX_BAR_SIZE - MSIX_PENDING, window: msix.pendingWindow },
    ]);
    this.addBar(MSIX_BAR, { kind: 'memory32', size: MSIX_BAR_SIZE, window: msixWindow });
    this.structures = this.createStructures();
    this.addBar(STRUCTURES_BAR, { kind: 'memory64', size: STRUCTURES_SIZE, window: this.structures });
    this.addStructure(CfgType.COMMON, COMMON, COMMON_BYTES);
    this.addStructure(CfgType.ISR, ISR, 1);
    this.addStructure(CfgType.DEVICE, DEVICE, Math.max(type.config().length, 4));
    this.addStructure(CfgType.NOTIFY, NOTIFY, NOTIFY_MULTIPLIER * type.queues.length, [NOTIFY_MULTIPLIER, 0, 0, 0]);
    this.pciCfg = this.addStructure(CfgType.PCI, 0, 0, [0, 0, 0, 0]);
    this.allow(this.pciCfg + PciCfg.BAR, 0xff);
    this.allow(this.pciCfg + PciCfg.OFFSET, ...new Array<number>(12).fill(0xff));
    type.attach?.(() => this.arm());
  }

  private createStructures(): RegisterWindow {
    const { common } = this;
    return windowMap([
      { offset: COMMON, size: COMMON_BYTES, window: { read: (at, size) => common.read(at, size), write: (at, size, value) => common.write(at, size, value) } },
      { offset: ISR, size: STRUCTURE_SIZE, window: { read: (at) => (at === 0 ? this.readIsr() : 0), write: () => {} } },
      { offset: DEVICE, size: STRUCTURE_SIZE, window: { read: (at, size) => this.readDevice(at, size), write: (a, s, v) => this.type.writeConfig?.(a, s, v) } },
      { offset: NOTIFY, size: STRUCTURE_SIZE, window: { read: () => 0, write: () => this.arm() } },
    ]);
  }

  /** "Virtio Structure PCI Capabilities". */
  private addStructure(type: number, offset: number, length: number, more: readonly number[] = []): number {
    const dword = (value: number): number[] => [value & 0xff, (value >>> 8) & 0xff, (value >>> 16) & 0xff, value >>> 24];
    const body = [16 + more.length, type, type === CfgType.PCI ? 0 : STRUCTURES_BAR, 0, 0, 0, ...dword(offset), ...dword(length), ...more];
    return this.addCapability(VENDOR_CAPABILITY, body);
  }

  override attach(attachment: PciAttachment): void {
    super.attach(attachment);
    this.timer = attachment.scheduler.timer(() => this.work(), `virtio ${attachment.requester}`);
  }

  // ---- registers ----

  /** "The device MUST clear the ISR status" when it is read, and take back its interrupt. */
  private readIsr(): number {
    const { isr } = this;
    this.isr = 0;
    this.setInterrupt(false);
    return isr;
  }

  private readDevice(at: number, size: AccessSize): number {
    const config = this.type.config();
    let value = 0;
    for (let i = size - 1; i >= 0; i--) value = value * 256 + (config[at + i] ?? 0);
    return value;
  }

  /** What the capability for access through configuration space points to: undefined where that is nothing. */
  private pciAccess(): { at: number; size: AccessSize } | undefined {
    const view = new DataView(this.config.buffer, this.config.byteOffset);
    const [at, length] = [view.getUint32(this.pciCfg + PciCfg.OFFSET, true), view.getUint32(this.pciCfg + PciCfg.LENGTH, true)];
    const valid = this.config[this.pciCfg + PciCfg.BAR] === STRUCTURES_BAR && (length === 1 || length === 2 || length === 4);
    return valid && at % length === 0 && at + length <= STRUCTURES_SIZE ? { at, size: length as AccessSize } : undefined;
  }

  private touchesPciData(offset: number): boolean {
    return offset >= this.pciCfg + PciCfg.DATA && offset < this.pciCfg + PciCfg.DATA + 4;
  }

  override readConfig(offset: number, size: AccessSize): number {
    const access = this.touchesPciData(offset) ? this.pciAccess() : undefined;
    if (access !== undefined) this.set32(this.pciCfg + PciCfg.DATA, this.structures.read(access.at, access.size));
    return super.readConfig(offset, size);
  }

  override writeConfig(offset: number, size: AccessSize, value: number): void {
    super.writeConfig(offset, size, value);
    const access = this.touchesPciData(offset) ? this.pciAccess() : undefined;
    if (access === undefined) return;
    const data = super.readConfig(this.pciCfg + PciCfg.DATA, 4);
    this.structures.write(access.at, access.size, access.size === 4 ? data : data & (access.size === 2 ? 0xffff : 0xff));
  }

  // ---- requests ----

  private arm(): void {
    const { timer, attachment } = this;
    if (timer !== undefined && attachment !== undefined && this.common.running && timer.deadline === Infinity)
      timer.arm(attachment.scheduler.clock.now() + LATENCY);
  }

  private has(feature: number): boolean {
    return (this.common.negotiated & feature) !== 0;
  }

  private work(): void {
    let left = BURST;
    for (const [index, queue] of this.queues.entries()) {
      if (!this.common.running || !queue.settings.enabled) continue;
      left = this.serve(index, queue, left);
      if (left < 0) return this.fail();
      const wanted = queue.wantsInterrupt(this.has(LowFeature.EVENT_IDX));
      if (wanted === BROKEN || (this.has(LowFeature.EVENT_IDX) && !queue.wantNotification())) return this.fail();
      if (wanted) this.notifyDriver(queue.settings.vector, IsrBit.QUEUE);
    }
    if (left === 0) this.arm();
  }

  /** How many requests may still be done; negative: the driver broke a rule. */
  private serve(index: number, queue: SplitQueue, limit: number): number {
    let left = limit;
    while (left > 0 && this.common.running) {
      const chain = queue.peek(this.has(LowFeature.INDIRECT_DESC));
      if (chain === undefined) break;
      const result = chain === BROKEN ? BROKEN : this.type.process(index, chain, this.common.negotiated & 0xff_ffff);
      if (result === 'wait') break;
      if (chain === BROKEN || result === BROKEN || !queue.use(chain, result)) return -1;
      this.type.completed?.();
      left--;
    }
    return left;
  }

  /** "The device SHOULD set DEVICE_NEEDS_RESET when it enters an error state that a reset is needed to recover from". */
  private fail(): void {
    this.common.status |= DeviceStatus.NEEDS_RESET;
    this.notifyDriver(this.common.configVector, IsrBit.CONFIGURATION);
  }

  private notifyDriver(vector: number, bit: number): void {
    if (this.msix?.enabled) {
      if (vector !== NO_VECTOR) this.msix.signal(vector);
      return;
    }
    this.isr |= bit;
    this.setInterrupt(true);
  }

  protected override resetFunction(): void {
    this.common.reset();
    this.type.reset?.();
    this.isr = 0;
    this.setInterrupt(false);
    this.timer?.disarm();
  }

  // ---- state ----

  override saveState(): VirtioState {
    return { ...super.saveState(), common: this.common.saveState(), isr: this.isr, device: this.type.saveState() };
  }

  override restoreState(state: PciDeviceState): void {
    const { common, isr, device } = state as VirtioState;
    this.common.restoreState(common);
    this.isr = isr;
    this.type.restoreState(device);
    super.restoreState(state);
  }
}
