/**
 * Where the guest's registers are: in the running processor while it is in the guest (always, on a bare machine), otherwise where VM
 * exits leave them (VMCS or VMCB, and the processor for what is not switched). Then a processor model of the debugger's own gets them.
 */
import { Cpu } from '../cpu/cpu';
import type { Guest } from '../hypervisor/guest';
import { REGISTERS, registerNamed } from './registers';
import { DebugError } from './target';

/** Processor numbers 0 and 1 are the machine's and the emulator's. */
const VIEW_INDEX = 2;

export class ProcessorView {
  private readonly model: Cpu | undefined;

  constructor(private readonly guest: Guest) {
    const { vm, machine } = guest;
    if (vm === undefined) return;
    this.model = new Cpu(machine.memory, vm.vcpu.model().profile, VIEW_INDEX);
    this.model.interrupts = vm.vcpu.model().interrupts;
  }

  /** The guest's registers are in the processor itself. */
  get live(): boolean {
    return this.model === undefined || this.guest.machine.cpu.guestMode;
  }

  /** A processor model with the guest's registers. Without `live` it is a copy: what is written there is lost. */
  cpu(): Cpu {
    const { machine, vm } = this.guest;
    if (this.model === undefined || vm === undefined || machine.cpu.guestMode) return machine.cpu;
    vm.processor.copyTo(this.model);
    return this.model;
  }

  /** Linear address of the next instruction. */
  get linearRip(): bigint {
    const cpu = this.cpu();
    return BigInt.asUintN(cpu.codeSize === 64 ? 64 : 32, cpu.rip + (cpu.codeSize === 64 ? 0n : cpu.segmentBase(1)));
  }

  read(name: string): bigint {
    const register = registerNamed(name);
    return register.read(name.toLowerCase() === 'cr8' ? this.interruptsOwner() : this.cpu());
  }

  /** CR8 is the local APIC's, which a VM has beside the model. */
  private interruptsOwner(): Cpu {
    return this.guest.vm?.vcpu.model() ?? this.guest.machine.cpu;
  }

  write(name: string, value: bigint): void {
    const register = registerNamed(name);
    if (value < 0n || value >> BigInt(register.bits) !== 0n) {
      throw new DebugError(`${register.name} has ${register.bits} bits: ${value < 0n ? value : `0x${value.toString(16)}`} does not fit`);
    }
    if (register.write === undefined) throw new DebugError(`${register.name} cannot be written`);
    if (register.name === 'cr8') return register.write(this.interruptsOwner(), value);
    const cpu = this.cpu();
    register.write(cpu, value);
    if (this.live) return void (cpu.attention = true);
    const wanted = register.read(cpu);
    this.guest.vm!.processor.copyFrom(cpu);
    if (register.read(this.cpu()) !== wanted) throw new DebugError(`${register.name} cannot be written while the guest is out (at a VM exit): step first`);
  }

  get registers(): typeof REGISTERS {
    return REGISTERS;
  }
}
