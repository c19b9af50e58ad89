/** The debug adapter with Debian's kernel. */
import { join } from 'node:path';
import { TestClient } from '../debugger/dap/client';
import { QUIET } from './debian';

const guest = (name: string): string => join(__dirname, '../../.cache/guests', name);

it('stops a boot at an exit of a kind, goes back, looks around, and boots on', async () => {
  const client = await TestClient.connect();
  client.defaultTimeout = 120_000;
  const launch = { program: guest('vmlinuz'), initrd: guest('initramfs.cpio.gz'), append: QUIET.split(' '), memory: '256M' };
  const stop = await client.run(launch, () =>
    client.setExceptionBreakpointsRequest({ filters: [], filterOptions: [{ filterId: 'nested-page-fault', condition: 'gpa == 0xfec00000' }] }),
  );
  expect(stop).toMatchObject({ reason: 'exception', description: 'Paused on VM exit EPT_VIOLATION' });
  expect(stop.text).toContain('the page is not present in EPT');
  const exit = await client.scope('Last exit');
  // The I/O APIC.
  expect(exit.get('GUEST_PHYSICAL_ADDRESS')?.value).toBe('0xfec00000');
  const { body } = await client.send('disassemble', { memoryReference: 'pc', instructionOffset: -30, instructionCount: 60 });
  expect(body.instructions.filter((i: { presentationHint?: string }) => i.presentationHint === 'invalid')).toEqual([]);
  expect(await client.repl('walk rsp')).toMatch(/EPT PML4E\[0\]/);

  const back = await client.stopAfter(() => client.stepBackRequest({ threadId: 1 }));
  expect(back.text).toMatch(/^exit \d+: /);
  const again = await client.stopAfter(() => client.continueRequest({ threadId: 1 }));
  expect(again.text).toBe(stop.text);

  await client.setExceptionBreakpointsRequest({ filters: [] });
  const { console } = client;
  await client.continueRequest({ threadId: 1 });
  while (client.console.length < console.length + 500) await new Promise((done) => setTimeout(done, 50));
  const paused = await client.stopAfter(() => client.pauseRequest({ threadId: 1 }));
  expect(paused.reason).toBe('pause');
  expect(client.console).toContain('Linux version');
  await client.stop();
});
