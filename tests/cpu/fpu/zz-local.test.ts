import { Vectors } from './vectors/vectors';
import { replaySse, replayX87 } from './vectors/replay';
import { writeFileSync } from 'node:fs';
test('local', () => {
  const t0=performance.now();
  const s = replaySse(new Vectors(process.env.SSE ?? '/tmp/rec/sse.bin'));
  const t1=performance.now();
  const x = replayX87(new Vectors(process.env.X87 ?? '/tmp/rec/x87.bin'), () => false);
  const t2=performance.now();
  const by = new Map<string, number>();
  for (const m of [...s, ...x]) by.set(m.op, (by.get(m.op) ?? 0) + 1);
  writeFileSync('/tmp/rec/out.txt', JSON.stringify([...by]) + '\n' + [...s, ...x].map((m) => m.text).join('\n') + `\nms ${t1-t0} ${t2-t1}`);
});
