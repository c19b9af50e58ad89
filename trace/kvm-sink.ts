/** The text of Linux's kvm_entry and kvm_exit trace events as trace-cmd and perf print them, so that scripts written for KVM read it. */
import type { EntryRow, ExitRow } from './exit-row';
import type { TraceOutput, TraceSink } from './sink';

const hex = (value: bigint | number, digits = 0): string => `0x${value.toString(16).padStart(digits, '0')}`;

/** Task, processor and time stamp: seconds and microseconds of virtual time. */
function head({ vcpu, ticks }: { readonly vcpu: number; readonly ticks: number }): string {
  const seconds = String(Math.floor(ticks / 1e9)).padStart(5);
  const micros = String(Math.floor((ticks % 1e9) / 1000)).padStart(6, '0');
  return `          vmexit-${vcpu + 1}       [${String(vcpu).padStart(3, '0')}] ${seconds}.${micros}: `;
}

export class KvmSink implements TraceSink {
  constructor(private readonly output: TraceOutput) {}

  /**
   * DEVIATION: info2, intr_info and error_code are 0. KVM fills them with the IDT-vectoring information, the interruption information and
   * its error code, which a row does not have.
   */
  write(row: ExitRow): void {
    const { vcpu, reason, rip, qualification } = row;
    this.output.write(
      `${head(row)}kvm_exit:             vcpu ${vcpu} reason ${reason} rip ${hex(rip)} info1 ${hex(qualification, 16)} info2 ${hex(0, 16)} ` +
        `intr_info ${hex(0, 8)} error_code ${hex(0, 8)}\n`,
    );
  }

  enter(row: EntryRow): void {
    this.output.write(`${head(row)}kvm_entry:            vcpu ${row.vcpu}, rip ${hex(row.rip)}\n`);
  }

  async close(): Promise<void> {}
}
