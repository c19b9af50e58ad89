/** The PCI function of an AMD IOMMU, as firmware leaves it: AMD IOMMU specification, "PCI Resources". */
import { MSI_CAPABILITY, MsiCapability, msiLayout } from '../../devices/pci/msi';
import { PciDevice, type PciAttachment, type PciDeviceState } from '../../devices/pci/pci-device';
import type { AmdIommu } from './amd-iommu';
import { BaseLow, Block, CAPABILITY_HEADER, CAPABILITY_ID, IOMMU_IDENTITY, misc0 } from './spec/capability';
import { REGISTER_WINDOW } from './spec/registers';

/** General events, guest virtual APIC log: both on message 0 (MsiNum, MsiNumGA). */
const MESSAGES = 1;
const HEADER = 2;

const bytesOf = (value: number): number[] => [value & 0xff, (value >>> 8) & 0xff, (value >>> 16) & 0xff, value >>> 24];

export class AmdIommuFunction extends PciDevice {
  /** Offset of the IOMMU capability block, which the IVRS table repeats. */
  readonly capability: number;
  private readonly msi: MsiCapability;
  /** Where the registers are on the bus now. */
  private mapped: number | undefined;

  /**
   * @param base of the registers, a multiple of 16 KiB. Firmware has written and locked it.
   * @param physicalAddressWidth of the processors.
   */
  constructor(
    private readonly iommu: AmdIommu,
    base: number,
    physicalAddressWidth: number,
  ) {
    super(IOMMU_IDENTITY);
    if (base % REGISTER_WINDOW !== 0) throw new RangeError(`the registers of an IOMMU cannot be at 0x${base.toString(16)}: not a multiple of 16 KiB`);
    const body = new Array<number>(Block.BYTES - HEADER).fill(0);
    body.splice(0, 2, CAPABILITY_HEADER & 0xff, CAPABILITY_HEADER >>> 8);
    body.splice(Block.BASE_LOW - HEADER, 4, ...bytesOf(((base & BaseLow.ADDRESS) | BaseLow.ENABLE) >>> 0));
    body.splice(Block.BASE_HIGH - HEADER, 4, ...bytesOf(Math.floor(base / 2 ** 32)));
    body.splice(Block.MISC0 - HEADER, 4, ...bytesOf(misc0(physicalAddressWidth)));
    this.capability = this.addCapability(CAPABILITY_ID, body);
    const { body: msiBody, masks } = msiLayout(MESSAGES);
    const msi = this.addCapability(MSI_CAPABILITY, msiBody, masks);
    // Not subject to bus mastering, nor to its own translation.
    this.msi = new MsiCapability(this.config, msi, MESSAGES, (address, data) => {
      const { attachment } = this;
      attachment?.messages({ address, data, source: attachment.requester });
    });
    this.addMessageCapability(this.msi);
    iommu.signal = () => this.msi.signal(0);
    iommu.messages = (message) => this.attachment?.messages(message);
  }

  override attach(attachment: PciAttachment): void {
    super.attach(attachment);
    this.settleBase();
  }

  protected override configWritten(offset: number, size: number): void {
    super.configWritten(offset, size);
    this.settleBase();
    this.msi.settle();
  }

  private config32(offset: number): number {
    return new DataView(this.config.buffer).getUint32(this.capability + offset, true);
  }

  /** "Enable: RW1S": once set it stays, and the address with it. */
  private settleBase(): void {
    const low = this.config32(Block.BASE_LOW);
    const enabled = (low & BaseLow.ENABLE) !== 0;
    this.allow(this.capability + Block.BASE_LOW, ...bytesOf(enabled ? 0 : (BaseLow.ADDRESS | BaseLow.ENABLE) >>> 0));
    this.allow(this.capability + Block.BASE_HIGH, ...bytesOf(enabled ? 0 : 0xffff_ffff));
    const base = enabled ? ((low & BaseLow.ADDRESS) >>> 0) + this.config32(Block.BASE_HIGH) * 2 ** 32 : undefined;
    const memory = this.attachment?.spaces.memory;
    if (base === this.mapped || memory === undefined) return;
    if (this.mapped !== undefined) memory.unmapMmio(this.iommu);
    if (base !== undefined) memory.mapMmio(base, REGISTER_WINDOW, this.iommu);
    this.mapped = base;
  }

  override restoreState(state: PciDeviceState): void {
    super.restoreState(state);
    this.settleBase();
  }
}
