<?php
// Talking to the services. What they answer is checked before it is shown.

declare(strict_types=1);

/** @return array{status: int, body: array<mixed>} status 0: no answer */
function call_api(string $method, string $path, ?array $body = null): array
{
    $base = getenv('API_URL');
    if (!$base) {
        error_log('API_URL is not set');
        return ['status' => 0, 'body' => []];
    }
    $headers = ['Accept: application/json', 'Content-Type: application/json'];
    if ($token = getenv('API_TOKEN')) {
        $headers[] = "Authorization: Bearer $token";
    }
    $curl = curl_init($base . $path);
    curl_setopt_array($curl, [
        CURLOPT_CUSTOMREQUEST => $method,
        CURLOPT_RETURNTRANSFER => true,
        CURLOPT_CONNECTTIMEOUT_MS => 2000,
        CURLOPT_TIMEOUT_MS => 8000,
        CURLOPT_HTTPHEADER => $headers,
    ]);
    if ($body !== null) {
        curl_setopt($curl, CURLOPT_POSTFIELDS, json_encode($body, JSON_THROW_ON_ERROR | JSON_INVALID_UTF8_SUBSTITUTE));
    }
    $answer = curl_exec($curl);
    $status = $answer === false ? 0 : curl_getinfo($curl, CURLINFO_RESPONSE_CODE);
    if ($answer === false) {
        error_log("$method $path: " . curl_error($curl));
    }
    if ($status >= 400 && $status !== 422) {
        error_log("$method $path: status $status");
    }
    $decoded = json_decode((string) $answer, true);
    return ['status' => $status, 'body' => is_array($decoded) ? $decoded : []];
}

/** @return ?list<array{name: string, quantity: int, price: string}> null: not available */
function items(): ?array
{
    ['status' => $status, 'body' => $body] = call_api('GET', '/items');
    if ($status !== 200 || !is_array($body['items'] ?? null)) {
        return null;
    }
    $valid = array_filter($body['items'], fn ($item) => is_array($item)
        && is_string($item['name'] ?? null) && $item['name'] !== ''
        && is_int($item['quantity'] ?? null) && $item['quantity'] >= 0
        && is_string($item['price'] ?? null) && preg_match('/^\d+\.\d\d$/D', $item['price']));
    return array_values($valid);
}
