/**
 * A PCI Express function that does DMA and sends interrupt messages: PCI Express Base Specification, "PCI Express Capability Structure",
 * "Function-Level Reset"; PCI Bus Power Management Interface Specification. NVMe, virtio and the test device extend it.
 */
import type { AccessSize } from '../bus';
import type { DmaPort } from '../dma';
import { MSI_CAPABILITY, MsiCapability, msiLayout } from './msi';
import { MSIX_CAPABILITY, MsixCapability, msixLayout, type MsixPlace, type MsixState } from './msix';
import { Command, PciDevice, type PciAttachment, type PciDeviceState, type PciIdentity } from './pci-device';

export interface PciEndpointState extends PciDeviceState {
  msix: MsixState | undefined;
}

const POWER_MANAGEMENT = 0x01;
/** Version 3, no D1, no D2, no PME#. */
const PMC = 0x0003;
const PMCSR = 4;
const PowerState = { MASK: 0x03, D3HOT: 0x03, NO_SOFT_RESET: 0x08 } as const;

const EXPRESS = 0x10;
/** Version 2, root complex integrated endpoint: it has no link. */
const EXPRESS_CAPABILITIES = 0x0092;
const DeviceCapabilities = { ROLE_BASED_ERRORS: 0x8000, FLR: 0x1000_0000 } as const;
const DEVICE_CONTROL = 8;
/** Error reporting enables, relaxed ordering, payload size, tag field, no snoop, read request size. */
const DEVICE_CONTROL_WRITABLE = 0x7fff;
/** Relaxed ordering and no snoop enabled, read requests of 512 bytes. */
const DEVICE_CONTROL_RESET = 0x2810;
const INITIATE_FLR = 0x8000;
const EXPRESS_BODY = 58;
const HEADER = 2;
const CONVENTIONAL_SIZE = 256;
/** Physical addresses have 52 bits at most; what a register can say beyond that is no address. */
const ADDRESS_LIMIT = 2 ** 52;

export abstract class PciEndpoint extends PciDevice {
  protected msi: MsiCapability | undefined;
  protected msix: MsixCapability | undefined;
  private power = 0;
  private express = 0;
  /** Configuration space as it is after reset. */
  private initial: Uint8Array | undefined;

  constructor(identity: PciIdentity) {
    super(identity);
    this.power = this.addCapability(POWER_MANAGEMENT, [PMC & 0xff, PMC >>> 8, PowerState.NO_SOFT_RESET, 0, 0, 0], [0, 0, PowerState.MASK]);
    const body = new Array<number>(EXPRESS_BODY).fill(0);
    const masks = [...body];
    const capabilities = DeviceCapabilities.ROLE_BASED_ERRORS | DeviceCapabilities.FLR;
    body.splice(0, 2, EXPRESS_CAPABILITIES & 0xff, EXPRESS_CAPABILITIES >>> 8);
    body.splice(2, 4, capabilities & 0xff, (capabilities >>> 8) & 0xff, (capabilities >>> 16) & 0xff, capabilities >>> 24);
    body.splice(DEVICE_CONTROL - HEADER, 2, DEVICE_CONTROL_RESET & 0xff, DEVICE_CONTROL_RESET >>> 8);
    const control = DEVICE_CONTROL_WRITABLE | INITIATE_FLR;
    masks.splice(DEVICE_CONTROL - HEADER, 2, control & 0xff, control >>> 8);
    this.express = this.addCapability(EXPRESS, body, masks);
  }

  // ---- for devices ----

  protected addMsi(vectors: number): MsiCapability {
    const { body, masks } = msiLayout(vectors);
    this.msi = new MsiCapability(this.config, this.addCapability(MSI_CAPABILITY, body, masks), vectors, this.sendMessage);
    this.addMessageCapability(this.msi);
    return this.msi;
  }

  /** The device puts the capability's windows behind the base address that `place` names. */
  protected addMsix(place: MsixPlace): MsixCapability {
    const { body, masks } = msixLayout(place);
    this.msix = new MsixCapability(this.config, this.addCapability(MSIX_CAPABILITY, body, masks), place.vectors, this.sendMessage);
    this.addMessageCapability(this.msix);
    return this.msix;
  }

  private readonly sendMessage = (address: number, data: number): void => {
    const { attachment } = this;
    if (attachment !== undefined && this.busMaster) attachment.messages({ address, data, source: attachment.requester });
  };

  /** Memory, as far as software lets the function master the bus. */
  protected readonly dma: DmaPort = {
    read: (address, length) => (this.mayTransfer(address, length) ? this.attachment!.dma.read(address, length) : undefined),
    write: (address, bytes) => this.mayTransfer(address, bytes.length) && this.attachment!.dma.write(address, bytes),
  };

  private mayTransfer(address: number, length: number): boolean {
    return this.busMaster && this.attachment !== undefined && address + length <= ADDRESS_LIMIT;
  }

  /** The function's own state as after power-on. Configuration space and messages are reset already. */
  protected abstract resetFunction(): void;

  // ---- power and reset ----

  /** In D3hot a function answers configuration accesses only. Its state stays (No_Soft_Reset). */
  protected override get command(): number {
    const command = super.command;
    const asleep = (this.config[this.power + PMCSR] & PowerState.MASK) === PowerState.D3HOT;
    return asleep ? (command & ~(Command.IO | Command.MEMORY | Command.MASTER)) | Command.INTX_DISABLE : command;
  }

  /** "FLR modifies the function state": everything but what the board decides is as after power-on. */
  functionLevelReset(): void {
    if (this.initial !== undefined) this.config.set(this.initial);
    for (const [, bar] of this.baseAddresses()) {
      bar.write(0, 0);
      if (bar.registers === 2) bar.write(1, 0);
    }
    this.msix?.reset();
    this.setInterrupt(false);
    this.resetFunction();
    super.configWritten(0, 0);
  }

  override attach(attachment: PciAttachment): void {
    super.attach(attachment);
    this.initial ??= this.config.slice();
  }

  /** Extended configuration space without capabilities: a header of zeroes. */
  override readConfig(offset: number, size: AccessSize): number {
    return offset >= CONVENTIONAL_SIZE ? 0 : super.readConfig(offset, size);
  }

  protected override configWritten(offset: number, size: number): void {
    const control = this.express + DEVICE_CONTROL;
    const reset = (this.config[control + 1] & (INITIATE_FLR >>> 8)) !== 0;
    // "The value read by software from this bit must always be 0b".
    this.config[control + 1] &= ~(INITIATE_FLR >>> 8);
    // DEVIATION: D1 and D2, which the function does not have, can be written to PowerState and mean D0.
    if (reset) return this.functionLevelReset();
    super.configWritten(offset, size);
    this.msi?.settle();
    this.msix?.settle();
  }

  override saveState(): PciEndpointState {
    return { ...super.saveState(), msix: this.msix?.saveState() };
  }

  override restoreState(state: PciDeviceState): void {
    const { msix } = state as PciEndpointState;
    if (msix !== undefined) this.msix?.restoreState(msix);
    super.restoreState(state);
  }
}
