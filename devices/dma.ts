/** How a device reaches memory: it names addresses of its own; what stands behind them is decided on the way (an IOMMU, a VM's memory, RAM). */
export interface DmaPort {
  /** The bytes, or undefined when any of them was refused: then the device does what its standard says of a failed transfer. */
  read(address: number, length: number): Uint8Array | undefined;
  /** False: some of the transfer was refused. What went before the refused page is written, as on a bus. */
  write(address: number, bytes: Uint8Array): boolean;
}
