/** Devices of the ISA age have 8-bit registers: a wider access is one access a byte, lowest port first. */
import type { AccessSize, PortDevice } from './bus';

export abstract class BytePorts implements PortDevice {
  protected abstract readByte(port: number): number;
  protected abstract writeByte(port: number, value: number): void;

  readPort(port: number, size: AccessSize): number {
    let value = 0;
    for (let i = 0; i < size; i++) value += (this.readByte(port + i) & 0xff) * 2 ** (8 * i);
    return value;
  }

  writePort(port: number, size: AccessSize, value: number): void {
    for (let i = 0; i < size; i++) this.writeByte(port + i, (value >>> (8 * i)) & 0xff);
  }
}
