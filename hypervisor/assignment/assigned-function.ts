/**
 * A physical PCI function as its VM sees it: the ids, base addresses and capabilities of the real one, in configuration space of the VM.
 * What the guest writes there is the hypervisor's to carry out: base addresses are of the VM's bus only, messages are kept here and sent
 * here when the real function's interrupt has come through the IOMMU, and what is left goes to the real registers.
 *
 * DEVIATION: INTx# is not passed on: the function shows no interrupt pin, and a driver needs MSI or MSI-X. Registers are reached by one VM
 * exit an access: silicon that is modelled has no pages that nested paging could map.
 */
import { DeliveryMode, FIRST_VECTOR } from '../../cpu/apic/registers';
import type { AccessSize } from '../../devices/bus';
import { decodeMessage } from '../../devices/interrupt-message';
import type { RegisterWindow } from '../../devices/pci/base-address';
import { MSI_CAPABILITY, MsiCapability, msiLayout } from '../../devices/pci/msi';
import { MSIX_CAPABILITY, MsixCapability, msixLayout, type MsixState } from '../../devices/pci/msix';
import { PciDevice, PciRegister, type PciAttachment, type PciDeviceState } from '../../devices/pci/pci-device';
import { windowMap } from '../../devices/pci/window-map';
import { RemappableAddress } from '../../iommu/vtd/spec/interrupts';
import type { RemappableMessage } from './iommu-driver';
import { DEVICE_CONTROL, EXPRESS_CAPABILITY, INITIATE_FLR, type PhysicalBar, type PhysicalFunction } from './physical-function';

/** The function's vectors in the physical interrupt remapping table. */
export interface InterruptRoutes {
  give(vector: number): void;
  isGiven(vector: number): boolean;
  /** Where interrupts can be posted: a given vector becomes `guestVector` of the guest by itself, or comes to the host as before (undefined). */
  post(vector: number, guestVector: number | undefined): void;
  /** What it becomes by itself. */
  postedAs(vector: number): number | undefined;
  takeAllBack(): void;
  /** What the real function has to send for a vector. */
  message(vector: number): RemappableMessage;
}

export interface AssignedFunctionState extends PciDeviceState {
  msix: MsixState | undefined;
}

const POWER_MANAGEMENT = 0x01;
const PMCSR = 4;
const HEADER = 2;
/** Lengths with id and next pointer, and the registers that guests may write: [offset, mask]. */
const PASSED_ON: Readonly<Record<number, { readonly length: number; readonly register: number; readonly mask: number } | undefined>> = {
  [POWER_MANAGEMENT]: { length: 8, register: PMCSR, mask: 0x3 },
  [EXPRESS_CAPABILITY]: { length: 60, register: DEVICE_CONTROL, mask: 0xffff },
};
const MSIX_ENTRY = 16;
const MSIX_VECTOR_CONTROL = 12;
const MSI_CONTROL = 2;
const MSI_ENABLED_VECTORS_SHIFT = 4;

export class AssignedFunction extends PciDevice {
  private msi: MsiCapability | undefined;
  private msix: MsixCapability | undefined;
  private msiOffset = 0;
  /** Registers that go to the real function. */
  private readonly passedOn: { readonly virtual: number; readonly physical: number }[] = [];
  private express: number | undefined;
  private initial: Uint8Array | undefined;

  constructor(
    readonly physical: PhysicalFunction,
    private readonly routes: InterruptRoutes,
  ) {
    super({
      vendor: physical.read(PciRegister.VENDOR, 2),
      device: physical.read(PciRegister.VENDOR + 2, 2),
      revision: physical.read(PciRegister.REVISION, 1),
      classCode: physical.read(PciRegister.REVISION, 4) >>> 8,
      subsystemVendor: physical.read(PciRegister.SUBSYSTEM_VENDOR, 2),
      subsystem: physical.read(PciRegister.SUBSYSTEM_VENDOR + 2, 2),
    });
    for (const [id, offset] of physical.capabilities()) this.copyCapability(id, offset);
    for (const bar of physical.bars) this.addBar(bar.index, { kind: bar.kind, size: bar.size, prefetchable: bar.prefetchable, window: this.window(bar) });
  }

  /** Those that nobody has looked into stay hidden. */
  private copyCapability(id: number, offset: number): void {
    const { physical } = this;
    const message = (address: number, data: number): void => this.attachment?.messages({ address, data, source: this.attachment.requester });
    if (id === MSI_CAPABILITY) {
      const { body, masks } = msiLayout(physical.msiVectors);
      this.msiOffset = this.addCapability(id, body, masks);
      this.msi = new MsiCapability(this.config, this.msiOffset, physical.msiVectors, message);
      return this.addMessageCapability(this.msi);
    }
    if (id === MSIX_CAPABILITY && physical.msix !== undefined) {
      const { body, masks } = msixLayout(physical.msix);
      this.msix = new MsixCapability(this.config, this.addCapability(id, body, masks), physical.msix.vectors, message);
      return this.addMessageCapability(this.msix);
    }
    const known = PASSED_ON[id];
    if (known === undefined) return;
    const { length, register, mask } = known;
    const body = Array.from({ length: length - HEADER }, (_, i) => physical.read(offset + HEADER + i, 1));
    const masks = body.map((_, i) => (i === register - HEADER ? mask & 0xff : i === register - HEADER + 1 ? mask >>> 8 : 0));
    const virtual = this.addCapability(id, body, masks);
    this.passedOn.push({ virtual: virtual + register, physical: offset + register });
    if (id === EXPRESS_CAPABILITY) this.express = virtual;
  }

  // ---- base addresses ----

  private window(bar: PhysicalBar): RegisterWindow {
    const { physical, msix } = this;
    const real: RegisterWindow = {
      read: (at, size) => physical.readMemory(bar, at, size),
      write: (at, size, value) => physical.writeMemory(bar, at, size, value),
    };
    const place = physical.msix;
    if (msix === undefined || place === undefined || place.bar !== bar.index) return real;
    const table: RegisterWindow = {
      read: msix.tableWindow.read,
      write: (at, size, value) => {
        msix.tableWindow.write(at, size, value);
        this.settleInterrupts();
      },
    };
    const parts = [
      { offset: place.table, size: place.vectors * MSIX_ENTRY, window: table },
      { offset: place.pending, size: 8 * Math.ceil(place.vectors / 64), window: msix.pendingWindow },
    ];
    const mediated = windowMap(parts);
    // An access that only ends in one of them reaches nothing.
    const at = (first: number, size: AccessSize): RegisterWindow =>
      parts.some((part) => first + size > part.offset && first < part.offset + part.size) ? mediated : real;
    return { read: (first, size) => at(first, size).read(first, size), write: (first, size, value) => at(first, size).write(first, size, value) };
  }

  // ---- configuration space ----

  override attach(attachment: PciAttachment): void {
    super.attach(attachment);
    this.initial ??= this.config.slice();
  }

  override readConfig(offset: number, size: AccessSize): number {
    // Extended configuration space without capabilities.
    return offset >= this.config.length ? 0 : super.readConfig(offset, size);
  }

  private get16(offset: number): number {
    return this.config[offset] | (this.config[offset + 1] << 8);
  }

  protected override configWritten(offset: number, size: number): void {
    if (this.express !== undefined && (this.get16(this.express + DEVICE_CONTROL) & INITIATE_FLR) !== 0) return this.functionLevelReset();
    super.configWritten(offset, size);
    this.physical.setBusMaster(this.busMaster);
    for (const { virtual, physical } of this.passedOn)
      if (this.physical.read(physical, 2) !== this.get16(virtual)) this.physical.write(physical, 2, this.get16(virtual));
    this.settleInterrupts();
    this.msi?.settle();
    this.msix?.settle();
  }

  /** The guest asked for it: the real function is reset, and what the guest sees of it. */
  private functionLevelReset(): void {
    if (this.initial !== undefined) this.config.set(this.initial);
    for (const [, bar] of this.baseAddresses()) {
      bar.write(0, 0);
      if (bar.registers === 2) bar.write(1, 0);
    }
    this.msix?.reset();
    this.routes.takeAllBack();
    this.physical.reset();
    super.configWritten(0, 0);
  }

  // ---- interrupts ----

  /** Gives the real function the vectors that the guest has set up, and takes them all back when the guest has switched messages off. */
  private settleInterrupts(): void {
    const { msi, msix, physical, routes } = this;
    const wanted = msix?.enabled ? this.unmaskedVectors(msix) : msi?.enabled ? this.msiVectors() : [];
    if (!msi?.enabled && !msix?.enabled) {
      if (!this.anyGiven()) return;
      physical.disableMsi();
      physical.enableMsix(false);
      return routes.takeAllBack();
    }
    const fresh = wanted.filter((vector) => !routes.isGiven(vector));
    for (const vector of fresh) routes.give(vector);
    for (const vector of this.given()) routes.post(vector, this.postable(vector));
    if (fresh.length === 0) return;
    if (msix?.enabled) {
      physical.enableMsix(true);
      for (const vector of fresh) physical.setMsixVector(vector, routes.message(vector));
    } else physical.enableMsi(routes.message(0), Math.log2(wanted.length));
  }

  private given(): number[] {
    const count = Math.max(this.physical.msix?.vectors ?? 0, this.physical.msiVectors);
    return Array.from({ length: count }, (_, vector) => vector).filter((vector) => this.routes.isGiven(vector));
  }

  private anyGiven(): boolean {
    return this.given().length !== 0;
  }

  /** The guest's vector, if hardware can deliver it without asking: not masked, fixed, edge-triggered, and not remapped in the VM. */
  private postable(vector: number): number | undefined {
    const message = (this.msix?.enabled ? this.msix : this.msi)?.outgoing(vector);
    if (message === undefined || (message.address & RemappableAddress.FORMAT) !== 0) return undefined;
    const request = decodeMessage({ ...message, source: this.physical.requester });
    const plain = request !== undefined && request.deliveryMode === DeliveryMode.Fixed && !request.level && request.vector >= FIRST_VECTOR;
    return plain ? request.vector : undefined;
  }

  private unmaskedVectors(msix: MsixCapability): number[] {
    const masked = (vector: number): boolean => (msix.tableWindow.read(vector * MSIX_ENTRY + MSIX_VECTOR_CONTROL, 4) & 1) !== 0;
    return Array.from({ length: msix.vectors }, (_, vector) => vector).filter((vector) => !masked(vector));
  }

  private msiVectors(): number[] {
    const allocated = 1 << ((this.get16(this.msiOffset + MSI_CONTROL) >>> MSI_ENABLED_VECTORS_SHIFT) & 7);
    return Array.from({ length: Math.min(allocated, this.physical.msiVectors) }, (_, vector) => vector);
  }

  /** The function is no longer the VM's. */
  takeInterruptsBack(): void {
    this.routes.takeAllBack();
  }

  /** Vector `vector` of the real function has reached the host: the guest's own message goes out, or waits behind the guest's mask. */
  deliver(vector: number): void {
    if (this.msix?.enabled) this.msix.signal(vector);
    else this.msi?.signal(vector);
  }

  /** `guestVector` was posted. False: not by this function. */
  deliverPosted(guestVector: number): boolean {
    const vector = this.given().find((candidate) => this.routes.postedAs(candidate) === guestVector);
    if (vector !== undefined) this.deliver(vector);
    return vector !== undefined;
  }

  // ---- state: the real function's is that of the physical machine ----

  override saveState(): AssignedFunctionState {
    return { ...super.saveState(), msix: this.msix?.saveState() };
  }

  override restoreState(state: PciDeviceState): void {
    const { msix } = state as AssignedFunctionState;
    if (msix !== undefined) this.msix?.restoreState(msix);
    super.restoreState(state);
  }
}
