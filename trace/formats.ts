import { KvmSink } from './kvm-sink';
import { NdjsonSink } from './ndjson-sink';
import { ParquetSink } from './parquet-sink';
import { PerfettoSink } from './perfetto-sink';
import type { TraceOutput, TraceSink } from './sink';

export interface TraceFormat {
  readonly name: string;
  /** File names that end in one of these mean this format. */
  readonly endings: readonly string[];
  readonly description: string;
  readonly open: (output: TraceOutput) => TraceSink;
}

export const TRACE_FORMATS: readonly TraceFormat[] = [
  { name: 'ndjson', endings: ['.ndjson', '.jsonl'], description: 'a JSON object a line', open: (o) => new NdjsonSink(o) },
  { name: 'perfetto', endings: ['.json', '.perfetto'], description: 'opens in ui.perfetto.dev', open: (o) => new PerfettoSink(o) },
  { name: 'kvm', endings: ['.txt', '.trace'], description: "the text of Linux's kvm_exit and kvm_entry events", open: (o) => new KvmSink(o) },
  { name: 'parquet', endings: ['.parquet'], description: 'for data frames', open: (o) => new ParquetSink(o) },
];

/** How files of the formats that are no JSON lines begin. */
const BEGINNINGS: readonly (readonly [name: string, begins: RegExp])[] = [
  ['parquet', /^PAR1/],
  ['perfetto', /^\{"displayTimeUnit"/],
  ['kvm', /^ +\S+-\d+ +\[\d+\] +[\d.]+: kvm_/],
];

/** What wrote a file that begins so, if it is a trace that is not of JSON lines. */
export const formatOfBeginning = (text: string): TraceFormat | undefined => {
  const name = BEGINNINGS.find(([, begins]) => begins.test(text))?.[0];
  return TRACE_FORMATS.find((f) => f.name === name);
};

/** The format of a file name, or undefined. */
export const formatOfName = (file: string): TraceFormat | undefined => TRACE_FORMATS.find((f) => f.endings.some((e) => file.endsWith(e)));
