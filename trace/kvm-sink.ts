/** The text of Linux's kvm_entry and kvm_exit trace events as trace-cmd and perf print them, so that scripts written for KVM read it. */
import type { EntryRow, ExitInformation, ExitRow } from './exit-row';
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

  write(row: ExitRow, information: () => ExitInformation): void {
    const { vcpu, reason, rip, qualification } = row;
    const { info2, interruption, errorCode } = information();
    this.output.write(
      `${head(row)}kvm_exit:             vcpu ${vcpu} reason ${reason} rip ${hex(rip)} info1 ${hex(qualification, 16)} info2 ${hex(info2, 16)} ` +
        `intr_info ${hex(interruption, 8)} error_code ${hex(errorCode, 8)}\n`,
    );
  }

  enter(row: EntryRow): void {
    this.output.write(`${head(row)}kvm_entry:            vcpu ${row.vcpu}, rip ${hex(row.rip)}\n`);
  }

  async close(): Promise<void> {}
}
